// SPDX-License-Identifier: Apache-2.0

//! Who gets in, and for what. A handler names the duty in its signature, and there is no other way to an [`Admin`]; so none forgets
//! to ask.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hashchain::StudyId;
use mhealth_api::{Code, Problem};
use mhealth_server::{ApiError, Bearer, Duty, Peer};
use zeroize::Zeroizing;

use super::Shared;
use crate::app::App;
use crate::codes::CodeView;
use crate::store::{Admin, EnrolledDevice, SESSION};

/// What a route for staff answers to whom it does not know. Only the document has this type and the next two: handlers answer with
/// [`ApiError`].
#[derive(utoipa::IntoResponses)]
#[response(
    status = 401,
    description = "`missing_credentials`, `invalid_credentials`, `session_expired`."
)]
#[allow(dead_code)]
pub(super) struct NotKnown(Problem);

/// What it answers to who lacks the duty.
#[derive(utoipa::IntoResponses)]
#[response(status = 403, description = "`not_allowed`.")]
#[allow(dead_code)]
pub(super) struct NotAllowed(Problem);

/// The same where a device may be another study's.
#[derive(utoipa::IntoResponses)]
#[response(status = 403, description = "`not_allowed`, `wrong_study`.")]
#[allow(dead_code)]
pub(super) struct NotAllowedThere(Problem);

/// Every duty that there is at an authentication server.
pub const STAFF_DUTIES: &[Duty] = &[
    Duty::Codes,
    Duty::Suspend,
    Duty::Retire,
    Duty::Keys,
    Duty::Pseudonyms,
    Duty::Log,
    Duty::Sessions,
];

/// What a route asks for.
pub(crate) trait Office {
    /// One of these duties.
    const DUTIES: &'static [Duty];
}

macro_rules! offices {
    ($($(#[$doc:meta])* $name:ident: $duties:expr;)*) => {
        $($(#[$doc])*
        pub(crate) struct $name;

        impl Office for $name {
            const DUTIES: &'static [Duty] = $duties;
        })*
    };
}

offices! {
    /// Issues codes.
    Codes: &[Duty::Codes];
    /// Sees how codes stand.
    CodeList: &[Duty::Codes, Duty::Pseudonyms];
    /// Sees devices.
    Devices: &[Duty::Codes, Duty::Suspend, Duty::Retire, Duty::Pseudonyms];
    /// Suspends and resumes.
    Suspend: &[Duty::Suspend];
    /// Retires.
    Retire: &[Duty::Retire];
    /// Rotates keys.
    Keys: &[Duty::Keys];
    /// Reads the log.
    Log: &[Duty::Log];
    /// Sees and ends sessions.
    Sessions: &[Duty::Sessions];
    /// Anybody of the staff. What is asked for decides about the duty.
    Anyone: STAFF_DUTIES;
}

/// A member of the staff whose credential is good for one of the office's duties in the server's study.
pub(crate) struct By<O> {
    admin: Admin,
    study: StudyId,
    office: PhantomData<O>,
}

impl<O> Deref for By<O> {
    type Target = Admin;

    fn deref(&self) -> &Admin {
        &self.admin
    }
}

impl<O> By<O> {
    /// Whether the credential is good for this duty, too.
    pub(super) fn may(&self, duty: Duty) -> bool {
        self.admin.scopes.allow(duty, self.study)
    }

    /// The same without the pseudonym, unless it may be read.
    pub(super) fn seen<T: Pseudonymous>(&self, mut what: T) -> T {
        if !self.may(Duty::Pseudonyms) {
            what.hide_participant();
        }
        what
    }
}

/// What says whose it is.
pub(super) trait Pseudonymous {
    fn hide_participant(&mut self);
}

impl Pseudonymous for CodeView {
    fn hide_participant(&mut self) {
        self.participant = None;
    }
}

impl Pseudonymous for EnrolledDevice {
    fn hide_participant(&mut self) {
        self.participant = None;
    }
}

impl<O: Office> FromRequestParts<Shared> for By<O> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        let Holder { admin, .. } = Holder::from_request_parts(parts, shared).await?;
        let study = shared.app.terms.study;
        admin.scopes.check(O::DUTIES, study)?;
        Ok(Self {
            admin,
            study,
            office: PhantomData,
        })
    }
}

/// Whoever holds a valid credential, and that credential. It says nothing of what that is good for.
pub(super) struct Holder {
    admin: Admin,
    pub(super) credential: Zeroizing<String>,
}

impl FromRequestParts<Shared> for Holder {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, shared).await?;
        let bearer =
            <Bearer as FromRequestParts<Shared>>::from_request_parts(parts, shared).await?;
        let (app, Bearer(credential)) = (&shared.app, bearer);
        let look_up = admin(app, &credential);
        let admin = app.failures.holder(peer, "admin", &credential, look_up);
        let admin = admin.await?;
        Ok(Self { admin, credential })
    }
}

/// Whether the credential is one of those that the login gives.
pub(super) fn is_session(credential: &str) -> bool {
    let role = credential.strip_prefix("mhealth-");
    role.is_some_and(|role| role.starts_with(SESSION))
}

/// Whose credential this is; none when nobody's.
async fn admin(app: &App, credential: &str) -> Result<Option<Admin>, ApiError> {
    if !is_session(credential) {
        return Ok(app.store.admin(credential).await?);
    }
    let Some(session) = app.store.session(credential).await? else {
        return Ok(None);
    };
    if session.expires_at <= app.now() {
        return Err(Code::SessionExpired.into());
    }
    // By what the server is told today, not by what it was told when the session began.
    let scopes = app.scopes_of(&session.person);
    Ok(Some(Admin {
        name: session.person.name,
        scopes,
    }))
}
