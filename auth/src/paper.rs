// SPDX-License-Identifier: Apache-2.0

//! A sheet of paper for a participant: an enrolment code as letters, and as a QR code. `mhealth` draws a study's passport in the same
//! way (`founders/src/passport/page.rs`).

use std::io::Read;
use std::path::PathBuf;

use anyhow::{ensure, Context};
use maud::{html, PreEscaped, DOCTYPE};
use mhealth_api::{EnrolmentCode, IssuedCode};
use mhealth_chain_client::{is_on_this_machine, write_new_secret};
use mhealth_server::BaseAddress;
use qrcode::render::svg;
use qrcode::QrCode;
use reqwest::Url;
use zeroize::Zeroizing;

/// Most bytes of what is given as a code.
const MOST_BYTES: u64 = 4_096;

/// What stands on the sheet. The code itself is read from standard input, where no other user of the machine sees it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PaperOptions {
    /// The participant's pseudonym.
    #[arg(long, value_name = "PSEUDONYM")]
    participant: String,
    /// The study's app, if it is a web page. The QR code is then this address with server (--issuer), code and pseudonym behind a #,
    /// which a browser tells nobody. Without it, it is the code alone.
    #[arg(long, value_name = "URL")]
    app: Option<Url>,
    /// Where to write the sheet: a new page (HTML), which nobody but its owner can read.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Writes the sheet for the code that stands in `source`: what `POST /v1/admin/codes` answers, or the code itself. Never over another
/// one: a code is shown once.
pub(crate) fn write(
    options: &PaperOptions,
    server: Option<&BaseAddress>,
    source: impl Read,
) -> anyhow::Result<()> {
    let code = code_in(source)?;
    let code = code.reveal();
    let text = match &options.app {
        None => code.clone(),
        Some(app) => {
            let server = server.context("the app must know its server: give --issuer")?;
            Zeroizing::new(address(app, server.as_str(), &code, &options.participant)?)
        }
    };
    let page = Zeroizing::new(page(&options.participant, &code, &text)?);
    Ok(write_new_secret(&options.out, page.as_bytes())?)
}

fn code_in(source: impl Read) -> anyhow::Result<EnrolmentCode> {
    let mut text = Zeroizing::new(String::new());
    source
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .context("standard input should have the code")?;
    let text = match serde_json::from_str::<IssuedCode>(&text) {
        Ok(issued) => Zeroizing::new(issued.code),
        Err(_) => text,
    };
    // The reason would be about the text, which is secret.
    let code = text.parse::<EnrolmentCode>().ok();
    code.context("standard input should have the answer of /v1/admin/codes, or the code alone")
}

/// The app's address with what it needs. It is the form of a query, in which every letter may stand.
fn address(app: &Url, server: &str, code: &str, participant: &str) -> anyhow::Result<String> {
    let is_safe = app.scheme() == "https" || is_on_this_machine(app.as_str());
    ensure!(
        is_safe && app.fragment().is_none(),
        "the app's address begins with https:// and has no #: whoever changes it gets the code"
    );
    let mut form = app.clone();
    form.query_pairs_mut()
        .clear()
        .append_pair("server", server)
        .append_pair("code", code)
        .append_pair("participant", participant);
    let mut address = app.clone();
    address.set_fragment(form.query());
    Ok(address.into())
}

fn page(participant: &str, code: &str, text: &str) -> anyhow::Result<String> {
    let picture = QrCode::new(text).context("no QR code holds it")?;
    let picture = picture
        .render::<svg::Color<'_>>()
        .min_dimensions(320, 320)
        .build();
    // What comes before the picture in a file of its own has no place in a page.
    let picture = picture.find("<svg").map_or(&*picture, |at| &picture[at..]);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Enrolment of " (participant) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (participant) }
                p.code { (code) }
                (PreEscaped(picture))
                p { "This code is for one phone, once. Whoever has it can take part in your place: give it to nobody." }
            }
        }
    };
    Ok(page.into_string())
}

/// Black on white, on one sheet.
const STYLE: &str = "body{font:12pt/1.4 sans-serif;margin:2cm auto;max-width:17cm}\
h1{margin:0}.code{font:14pt monospace}svg{display:block;width:8cm;height:8cm}";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The one of docs/protocol/device-api.md, section 12.
    const CODE: &str = "58N2M-AHA58-N2MAH-A58N2-H7P8X-P5PQ0-5DZ7W-RVA2G";

    fn options(app: Option<&str>, out: PathBuf) -> PaperOptions {
        PaperOptions {
            participant: "P-001 <&>".into(),
            app: app.map(|app| app.parse().unwrap()),
            out,
        }
    }

    #[test]
    fn the_sheet_has_the_code_is_its_owners_alone_and_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("sheet.html");
        let issued = format!("{{\"id\":1,\"code\":\"{CODE}\",\"expires_at\":1800086400}}");
        // Whatever people type for a code is one.
        for given in [issued, CODE.into(), CODE.to_lowercase() + "\n"] {
            write(&options(None, out.clone()), None, given.as_bytes()).unwrap();
            let page = std::fs::read_to_string(&out).unwrap();
            assert!(page.contains(CODE) && page.contains("<svg"), "{page}");
            assert!(page.contains("P-001 &lt;&amp;&gt;"), "{page}");
            let mode = std::fs::metadata(&out).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let again = write(&options(None, out.clone()), None, given.as_bytes());
            let said = again.unwrap_err().to_string();
            assert!(said.contains("sheet.html"), "{said}");
            assert_eq!(std::fs::read_to_string(&out).unwrap(), page);
            std::fs::remove_file(&out).unwrap();
        }
    }

    #[test]
    fn what_is_no_code_and_where_it_does_not_belong_make_no_sheet() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("sheet.html");
        let server: BaseAddress = "https://auth.example".parse().unwrap();
        let wrong = CODE.replacen('5', "6", 1);
        let cases = [
            (None, wrong.as_str(), Some(&server)),
            (None, "", Some(&server)),
            (Some("http://diary.example/"), CODE, Some(&server)),
            (Some("https://diary.example/#x"), CODE, Some(&server)),
            (Some("https://diary.example/"), CODE, None),
        ];
        for (app, given, server) in cases {
            let options = options(app, out.clone());
            let error = write(&options, server, given.as_bytes()).unwrap_err();
            let said = format!("{error:#}");
            assert!(given.is_empty() || !said.contains(given), "{said}");
            assert!(!out.exists(), "{app:?}: {said}");
        }
    }

    #[test]
    fn the_app_is_told_everything_behind_the_fragments_sign() {
        let app = "https://diary.example/start?lang=ja".parse().unwrap();
        let address = address(&app, "https://auth.example", CODE, "P 1&2=é").unwrap();
        let expected = format!(
            "https://diary.example/start?lang=ja#server=https%3A%2F%2Fauth.example&code={CODE}&participant=P+1%262%3D%C3%A9"
        );
        assert_eq!(address, expected);
    }
}
