# SPDX-License-Identifier: Apache-2.0

title = Schlaftagebuch
language = Sprache
skip = Zum Tagebuch springen
broken = Diese Seite funktioniert hier nicht. Bitte öffnen Sie sie noch einmal. Wenn das nicht hilft, sagen Sie es Ihrem Studienteam.
unkept = Dieser Browser verspricht nicht, zu behalten, was Sie schreiben. Wenn dies ein privates Fenster ist, geht alles verloren, sobald Sie es schließen: Bitte öffnen Sie diese Seite in einem gewöhnlichen Fenster.

enrol-title = Teilnehmen
enrol-intro = Sie haben von Ihrem Studienteam einen Zettel mit einem Code. Scannen Sie sein Bild, oder tippen Sie ab, was darauf steht.
enrol-server = Adresse des Servers der Studie
enrol-participant = Ihr Name in der Studie
enrol-participant-help = So wie auf dem Zettel, zum Beispiel P-17. Niemals Ihr richtiger Name.
enrol-code = Code
enrol-code-help = Acht Gruppen von fünf Buchstaben und Ziffern. Bindestriche und Kleinschreibung sind gleichgültig.
enrol-do = Teilnehmen
enrol-doing = Ihr Gerät wird angemeldet. Das dauert einige Sekunden.
scan-do = Das Bild mit der Kamera scannen
scan-no = Dieser Browser kann keine Bilder scannen. Bitte tippen Sie den Code ab.
scan-stop = Scannen beenden
scan-view = Was die Kamera sieht
scan-foreign = Dieses Bild ist von keinem Zettel Ihrer Studie.

morning-title = Die letzte Nacht
morning-of = Die Nacht auf { $day }
bed = Wann sind Sie ins Bett gegangen?
tried = Wann wollten Sie einschlafen?
latency = Wie viele Minuten hat das Einschlafen gedauert?
awakenings = Wie oft sind Sie aufgewacht, ohne das letzte Mal?
awake = Wie viele Minuten waren Sie dabei insgesamt wach?
woke = Wann sind Sie zum letzten Mal aufgewacht?
rose = Wann sind Sie aufgestanden?
quality = Wie war Ihr Schlaf?
quality-1 = sehr schlecht
quality-2 = schlecht
quality-3 = mittelmäßig
quality-4 = gut
quality-5 = sehr gut
save = Speichern
saved = Auf diesem Gerät gespeichert.
saved-before = Das war schon gespeichert.
changed-before = Über diese Nacht haben Sie schon anders geschrieben. Speichern Sie noch einmal, um es zu berichtigen.
unlikely = Diese Zeiten passen nicht zusammen. Bitte sehen Sie sie noch einmal an.

state-title = Ihre Daten
safe = Ihre Daten sind sicher: registriert in Block { $block }, bewiesen.
entries = { $count ->
    [one] Eine Nacht, davon { $finalised } registriert.
   *[other] { $count } Nächte, davon { $finalised } registriert.
}
waiting = { $count ->
    [one] Eine Nacht wartet auf diesem Gerät. Sie wird gesendet, sobald es eine Verbindung gibt.
   *[other] { $count } Nächte warten auf diesem Gerät. Sie werden gesendet, sobald es eine Verbindung gibt.
}
left = { $count ->
    [one] Eine Nacht aus der Zeit vor der neuen Anmeldung wurde nicht registriert. Sie bleibt auf diesem Gerät.
   *[other] { $count } Nächte aus der Zeit vor der neuen Anmeldung wurden nicht registriert. Sie bleiben auf diesem Gerät.
}
sending = Wird gesendet …
send-do = Jetzt senden
stopped = Dieses Gerät wurde angehalten.
offline = Es gibt keine Verbindung. Sie können trotzdem schreiben.
export-do = Was nicht gesendet wurde, für das Studienteam speichern
