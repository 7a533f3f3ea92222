//! What is private of a record: put into a node's vault, read from it, erased there.

use std::time::Duration;

use quittance_ledger::{
    digest::RecordId,
    insurance::disclosure::Basis,
    limits::PRESENTATION_BYTES_MAX,
    vault::{PRESENTATION_MEDIA_TYPE, Presentation},
};
use serde_json::json;

use super::{ANSWER_BYTES_MAX, Client, ClientError, answers::ErasedAnswer, request::problem};

impl Client {
    /// Puts what is private of a record into the node's vault: its presentation.
    /// False where it was erased there and stays so.
    ///
    /// # Errors
    /// The node does not answer, or will not; or others could read it on its way.
    pub fn put_private(&self, id: &RecordId, presentation: &str) -> Result<bool, ClientError> {
        self.check_private()?;
        let path = path_of(id);
        let answer = self.patiently(&path, ANSWER_BYTES_MAX, |url| {
            self.prepared(self.agent.put(url), Duration::ZERO)
                .header("content-type", PRESENTATION_MEDIA_TYPE)
                .send(presentation)
        })?;
        match answer.status {
            200 | 201 => Ok(true),
            410 => Ok(false),
            status => Err(self.refused(&path, problem(status, &answer.body))),
        }
    }

    /// What the node keeps that is private of a record. All of it belongs to the
    /// record with that id; the record's signature has not been checked.
    ///
    /// # Errors
    /// The node keeps nothing of it (404), has erased it (410), will not give it,
    /// does not answer, or with something else.
    pub fn private(&self, id: &RecordId) -> Result<Presentation, ClientError> {
        let path = path_of(id);
        let bytes =
            self.get_accepting(&path, PRESENTATION_BYTES_MAX, Some(PRESENTATION_MEDIA_TYPE))?;
        let presentation = Presentation::parse(&self.text(&path, bytes)?)
            .map_err(|refusal| self.odd(&path, refusal))?;
        if presentation.record().id() == *id {
            Ok(presentation)
        } else {
            Err(self.odd(&path, "it is of another record than was asked for"))
        }
    }

    /// As [`Client::private`], in the node's own JSON and unchecked.
    ///
    /// # Errors
    /// As [`Client::private`].
    pub fn private_json(&self, id: &RecordId) -> Result<serde_json::Value, ClientError> {
        self.get_json(&path_of(id), ANSWER_BYTES_MAX)
    }

    /// Has the node erase what it keeps that is private of a record, and waits up
    /// to `wait` until the record that says so is final. Doing it again is
    /// harmless and gives the same answer.
    ///
    /// # Errors
    /// The node keeps nothing of it (404), will not, or does not answer. Whether it
    /// has erased is not known then; asking again tells.
    pub fn erase_private(
        &self,
        id: &RecordId,
        basis: &Basis,
        wait: Duration,
    ) -> Result<ErasedAnswer, ClientError> {
        let body = json!({"basis": basis.as_str()}).to_string();
        self.erase(id, "application/json", &body, wait)
    }

    /// As [`Client::erase_private`], with the record that says so, which the node's
    /// member signed elsewhere: a JWS.
    ///
    /// # Errors
    /// As [`Client::erase_private`].
    pub fn erase_private_signed(
        &self,
        id: &RecordId,
        jws: &str,
        wait: Duration,
    ) -> Result<ErasedAnswer, ClientError> {
        self.erase(id, "application/jose", jws, wait)
    }

    fn erase(
        &self,
        id: &RecordId,
        content_type: &str,
        body: &str,
        wait: Duration,
    ) -> Result<ErasedAnswer, ClientError> {
        let path = path_of(id);
        let answer = self.patiently(&path, ANSWER_BYTES_MAX, |url| {
            self.prepared(self.agent.delete(url), wait)
                .header("content-type", content_type)
                .force_send_body()
                .send(body)
        })?;
        if !matches!(answer.status, 200 | 202) {
            return Err(self.refused(&path, problem(answer.status, &answer.body)));
        }
        let erased: ErasedAnswer = self.json(&path, &answer.body)?;
        if erased.id == *id {
            Ok(erased)
        } else {
            Err(self.odd(&path, "it is about another record than was asked for"))
        }
    }
}

fn path_of(id: &RecordId) -> String {
    format!("/v1/vault/{id}")
}
