# SPDX-License-Identifier: Apache-2.0

title = Sleep diary
language = Language
skip = Skip to the diary
broken = This page does not work here. Please open it again. If that does not help, tell your study team.
unkept = This browser does not promise to keep what you write. If this is a private window, all of it is lost when you close it: please open this page in an ordinary one.

enrol-title = Take part
enrol-intro = You have a paper with a code from your study team. Scan its picture, or type what is on it.
enrol-server = Address of the study's server
enrol-participant = Your name in the study
enrol-participant-help = As it is on the paper, such as P-17. Never your real name.
enrol-code = Code
enrol-code-help = Eight groups of five letters and digits. Hyphens and small letters do not matter.
enrol-do = Take part
enrol-doing = Your device is being enrolled. This takes a few seconds.
scan-do = Scan the picture with the camera
scan-no = This browser cannot scan pictures. Please type the code.
scan-stop = Stop scanning
scan-view = What the camera sees
scan-foreign = This picture is not one of your study's papers.

morning-title = Last night
morning-of = The night to { $day }
bed = When did you go to bed?
tried = When did you try to sleep?
latency = How many minutes did it take to fall asleep?
awakenings = How often did you wake up, not counting the last time?
awake = How many minutes were you awake then, all together?
woke = When did you wake up for the last time?
rose = When did you get out of bed?
quality = How was your sleep?
quality-1 = very poor
quality-2 = poor
quality-3 = fair
quality-4 = good
quality-5 = very good
save = Save
saved = Saved on this device.
saved-before = This was saved before.
changed-before = You wrote about this night before, in other words. Save again to correct it.
unlikely = These times do not fit together. Please look at them again.

state-title = Your data
safe = Your data is safe: registered in block { $block }, proved.
entries = { $count ->
    [one] One night, { $finalised } of it registered.
   *[other] { $count } nights, { $finalised } of them registered.
}
waiting = { $count ->
    [one] One night waits on this device. It is sent when there is a connection.
   *[other] { $count } nights wait on this device. They are sent when there is a connection.
}
left = { $count ->
    [one] One night from before this device was enrolled anew was not registered. It is kept here.
   *[other] { $count } nights from before this device was enrolled anew were not registered. They are kept here.
}
sending = Sending …
send-do = Send now
stopped = This device was stopped.
offline = There is no connection. You can write all the same.
export-do = Save what was not sent, for the study team
