# SPDX-License-Identifier: Apache-2.0

title = 睡眠日誌
language = 言語
skip = 日誌へ移動
broken = このページはここでは動作しません。もう一度開いてください。それでも解決しない場合は、研究スタッフに連絡してください。
unkept = このブラウザーは、記入した内容の保存を保証していません。プライベートウィンドウの場合、ウィンドウを閉じるとすべて失われます。通常のウィンドウでこのページを開いてください。

enrol-title = 参加する
enrol-intro = 研究スタッフから受け取った紙にコードがあります。画像を読み取るか、書かれている内容を入力してください。
enrol-server = 研究のサーバーの宛先
enrol-participant = 研究での名前
enrol-participant-help = 紙のとおりに入力してください（例：P-17）。本名は入力しないでください。
enrol-code = コード
enrol-code-help = 5文字の英数字が8組です。ハイフンや大文字・小文字は気にしなくてかまいません。
enrol-do = 参加する
enrol-doing = 端末を登録しています。数秒かかります。
scan-do = カメラで画像を読み取る
scan-no = このブラウザーでは画像を読み取れません。コードを入力してください。
scan-stop = 読み取りをやめる
scan-view = カメラの映像
scan-foreign = この画像は研究の紙のものではありません。

morning-title = 昨夜の睡眠
morning-of = { $day } の朝までの夜
bed = 何時に寝床に入りましたか。
tried = 何時に眠ろうとしましたか。
latency = 眠るまでに何分かかりましたか。
awakenings = 最後の目覚めを除いて、何回目が覚めましたか。
awake = その間、合わせて何分起きていましたか。
woke = 最後に目が覚めたのは何時ですか。
rose = 何時に寝床から出ましたか。
quality = 睡眠の質はどうでしたか。
quality-1 = とても悪い
quality-2 = 悪い
quality-3 = 普通
quality-4 = 良い
quality-5 = とても良い
save = 保存
saved = この端末に保存しました。
saved-before = すでに保存されています。
changed-before = この夜については別の内容が保存されています。訂正するには、もう一度保存してください。
unlikely = 時刻のつじつまが合いません。もう一度確かめてください。

state-title = あなたのデータ
safe = あなたのデータは安全です。ブロック { $block } に登録され、証明されました。
entries = { $count } 夜のうち { $finalised } 夜が登録済みです。
waiting = { $count } 夜分がこの端末で待っています。接続があれば送られます。
left = 登録し直す前の { $count } 夜分は登録されていません。この端末に保存されています。
sending = 送信しています…
send-do = いま送る
stopped = この端末は停止されました。
offline = 接続がありません。それでも記入できます。
export-do = 送られなかったものを研究スタッフのために保存
