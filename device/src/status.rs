// SPDX-License-Identifier: Apache-2.0

//! What a phone's screen shows.

use hashchain::{DeviceId, StudyId};

use alloc::string::String;

use crate::{freeze::FreezeReason, key::PublicKey};

/// How a phone stands, without asking anybody. Times are in seconds since 1970 by the phone's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The phone's key on the chain; none before it began to enrol.
    pub key: Option<PublicKey>,
    /// The study; none before the phone began to enrol.
    pub study: Option<StudyId>,
    /// The number that the chain gave it, as proved; none before it is enrolled.
    pub device: Option<DeviceId>,
    /// Entries sealed. All of them are safe on this phone.
    pub sealed: u64,
    /// Of these, entries that the chain is proved to have.
    pub finalised: u64,
    /// Of these, entries that are still to be sent or proved: `sealed - finalised`.
    pub queued: u64,
    /// Entries of devices that this phone had before, which were stopped: nobody sends them any more, and the chain is not known to have
    /// them. They stay on this phone, also after they were exported.
    pub left_behind: u64,
    /// The block in whose state the phone's head was proved last.
    pub proved_in: Option<u32>,
    /// When a server last answered what was asked.
    pub last_contact: Option<i64>,
    /// When trying again is of use at the earliest; none when there is nothing to do, or nothing that trying would help.
    pub next_try: Option<i64>,
    /// Why the phone was stopped, if it was.
    pub stopped: Option<FreezeReason>,
    /// Stable code of what went wrong in the last [`sync`](crate::Phone::sync) or [`enrol`](crate::Phone::enrol); none when it
    /// went well.
    pub last_fault: Option<String>,
    /// What the person who holds the phone should do.
    pub advice: Advice,
}

/// What the person who holds the phone should do. Each has a stable [code](Self::code); the words are the app's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Nothing: all is registered.
    Nothing,
    /// Nothing now: entries are sent when there is a connection.
    Wait,
    /// Enter the code that the study's staff handed out.
    Enrol,
    /// Ask the study's staff for another code: this one is wrong, spent, expired, or for something else.
    AskForCode,
    /// See to a connection to the Internet.
    Connect,
    /// Set the clock.
    SetClock,
    /// Make room on the phone.
    MakeRoom,
    /// Unlock the phone.
    Unlock,
    /// Close the other window or program that has the data.
    CloseOther,
    /// Update the app.
    UpdateApp,
    /// Enrol anew with a new code of the study's staff; what the chain has is safe.
    EnrolAnew,
    /// Hand over what is left of a device that was stopped: [`export_queue`](crate::Phone::export_queue) and
    /// [`export_unenrolled`](crate::Phone::export_unenrolled). Until then it is on this phone alone.
    HandOver,
    /// See to it that the study's staff have what was taken out of a device that was stopped: all is registered but that,
    /// [`left_behind`](Status::left_behind).
    HandedOver,
    /// Tell the study's staff, with the code of the fault.
    TellStudy,
}

impl Advice {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Nothing,
        Self::Wait,
        Self::Enrol,
        Self::AskForCode,
        Self::Connect,
        Self::SetClock,
        Self::MakeRoom,
        Self::Unlock,
        Self::CloseOther,
        Self::UpdateApp,
        Self::EnrolAnew,
        Self::HandOver,
        Self::HandedOver,
        Self::TellStudy,
    ];

    /// The advice of a stable name; none if there is no such one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|advice| advice.code() == code)
    }

    /// Stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Wait => "wait",
            Self::Enrol => "enrol",
            Self::AskForCode => "ask_for_code",
            Self::Connect => "connect",
            Self::SetClock => "set_clock",
            Self::MakeRoom => "make_room",
            Self::Unlock => "unlock",
            Self::CloseOther => "close_other",
            Self::UpdateApp => "update_app",
            Self::EnrolAnew => "enrol_anew",
            Self::HandOver => "hand_over",
            Self::HandedOver => "handed_over",
            Self::TellStudy => "tell_study",
        }
    }
}
