//! What is found out of a server before the load: its model, and whether it takes token ids and `ignore_eos`.

use serde::Deserialize;

use super::{
    LoadError, PromptForm,
    body::{Bodies, Form, Told},
    client::Client,
    exchange::Seen,
    failure::{Failure, excerpt},
    mix::{Prompt, Spec},
};
use crate::table::{Endpoint, RequestError};

/// Ids are drawn below this where the server does not tell how many its model has: enough that prompts differ, and
/// within any vocabulary of today.
const USUAL_IDS: u32 = 8192;
/// The ids of a byte-level vocabulary.
const LEAST_IDS: u32 = 256;

/// The trial's prompt and response, in tokens. Long enough that some id of it is too large where any is.
const TRIAL: Spec = Spec { prompt: Prompt::new(64, 0), output_tokens: 1 };

/// What is known of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its vocabulary's size, where the server tells (llama.cpp).
    pub vocabulary: Option<u32>,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    n_vocab: Option<u32>,
}

/// Asks for the server's models: the first of them.
///
/// # Errors
///
/// It does not answer, or lists none.
pub async fn model(client: &Client, url: &str) -> Result<Model, LoadError> {
    let (status, body) = client.models().await.map_err(|failure| reach(url, failure))?;
    let refused = |cause: String| LoadError::Model { url: url.to_owned(), cause };
    if status != 200 {
        let told = excerpt(&body);
        return Err(refused(match status {
            401 | 403 => format!("status {status}: {told} (--api-key, or OPENAI_API_KEY)"),
            _ => format!("status {status}: {told} (name the model with --model)"),
        }));
    }
    let models: Models = serde_json::from_slice(&body)
        .map_err(|error| refused(format!("no list of models: {error} (name the model with --model)")))?;
    let first = models.data.into_iter().next();
    let first = first.ok_or_else(|| refused("no model is listed (name one with --model)".to_owned()))?;
    Ok(Model { name: first.id, vocabulary: first.meta.and_then(|meta| meta.n_vocab) })
}

fn reach(url: &str, failure: Failure) -> LoadError {
    LoadError::Reach { url: url.to_owned(), failure }
}

/// Finds out how prompts are told, with a request of 64 tokens for one. Returns notes for the user.
///
/// # Errors
///
/// The server cannot be reached. Another failure is none yet: the load will count it.
pub async fn form(
    client: &Client,
    bodies: &mut Bodies,
    endpoint: Endpoint,
    wanted: PromptForm,
    vocabulary: Option<u32>,
    url: &str,
) -> Result<Vec<String>, LoadError> {
    let ids = vocabulary.map_or(USUAL_IDS, |size| size.min(USUAL_IDS));
    let first = match wanted {
        PromptForm::Ids if endpoint != Endpoint::Chat => Told::Ids(ids),
        PromptForm::Auto if endpoint != Endpoint::Chat => Told::Ids(ids),
        _ => Told::Text,
    };
    bodies.form = Form { told: first, ignore_eos: true };
    if wanted != PromptForm::Auto {
        return Ok(Vec::new());
    }
    let mut notes = Vec::new();
    let mut seen = Seen::default();
    loop {
        let body = bodies.body(&TRIAL).into();
        let (result, _) = client.serve("hostprof-trial", body, false, &mut seen).await;
        let Err(failure) = result else { break };
        match failure.kind {
            RequestError::Connect => return Err(reach(url, failure)),
            RequestError::Status if matches!(seen.status, Some(400 | 413..=422)) => {}
            RequestError::Server => {}
            // It held for what was sent, for all that is known.
            RequestError::Empty => break,
            RequestError::Cancelled => break,
            _ => {
                notes.push(format!("a trial request failed: {failure}; the load goes on as if it had not"));
                break;
            }
        }
        bodies.form = match bodies.form {
            Form { told: Told::Ids(LEAST_IDS), ignore_eos } => Form { told: Told::Text, ignore_eos },
            Form { told: Told::Ids(_), ignore_eos } => Form { told: Told::Ids(LEAST_IDS), ignore_eos },
            Form { told: Told::Text, ignore_eos: true } => Form { told: Told::Text, ignore_eos: false },
            Form { told: Told::Text, ignore_eos: false } => {
                bodies.form = Form { told: first, ignore_eos: true };
                notes.push(format!("a trial request failed: {failure}; the load goes on as if it had not"));
                break;
            }
        };
    }
    if bodies.form.told == Told::Text && endpoint != Endpoint::Chat {
        notes.push(
            "the server takes no token ids: prompts are text, their lengths in tokens about right".to_owned(),
        );
    }
    if !bodies.form.ignore_eos {
        notes.push("the server takes no ignore_eos: responses may be shorter than asked for".to_owned());
    }
    Ok(notes)
}
