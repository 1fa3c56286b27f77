//! Telling a person that their message was read, and that an answer is being typed. No message and nothing durable: a call
//! that is made now or not at all, outside a number's pace (WhatsApp counts it as no message).

use super::{DispatchError, Dispatcher, RETRY_MS};
use kabar_connectors::cloud::GraphFailure;
use kabar_engine::id::{SessionId, TenantId};
use serde_json::json;

/// Why nobody was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// WhatsApp refused it.
    #[error("refused with code {code}: {detail}")]
    Refused {
        /// WhatsApp's code.
        code: u32,
        /// WhatsApp's words.
        detail: String,
    },
    /// Something else.
    #[error(transparent)]
    Failed(#[from] DispatchError),
}

impl Dispatcher {
    /// Marks a received message, and with it all before it, as read; with `typing` the person also sees for up to 25
    /// seconds that an answer is being written.
    ///
    /// # Errors
    /// [`ReceiptError`]; `Failed` also when WhatsApp did not answer, and may have done it.
    pub async fn mark_read(
        &self,
        (tenant, session): (TenantId, SessionId),
        provider_id: &str,
        typing: bool,
    ) -> Result<(), ReceiptError> {
        let link = self.0.link(tenant, session).await.ok_or(DispatchError::NotFound)?;
        let graph = self.0.graph(&link.session).map_err(|_| DispatchError::NotFound)?;
        let mut body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": provider_id});
        if typing {
            body["typing_indicator"] = json!({"type": "text"});
        }
        let path = format!("{}/messages", link.session.phone_number_id);
        match graph.post(&path, &[], &body).await {
            Ok(_) => Ok(()),
            Err(GraphFailure::Refused(why)) => {
                Err(ReceiptError::Refused { code: why.code, detail: why.detail })
            }
            Err(GraphFailure::NotReached | GraphFailure::Unclear) => {
                Err(DispatchError::Unavailable { retry_after_ms: RETRY_MS }.into())
            }
        }
    }
}
