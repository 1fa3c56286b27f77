//! Telling a person that their message was read, and that an answer is being typed. No message and nothing durable: a call
//! that is made now or not at all, outside a number's pace (WhatsApp counts it as no message).

use super::Dispatcher;
use crate::account::AccountError;
use kabar_engine::id::{SessionId, TenantId};
use serde_json::json;

impl Dispatcher {
    /// Marks a received message, and with it all before it, as read; with `typing` the person also sees for up to 25
    /// seconds that an answer is being written.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn mark_read(
        &self,
        (tenant, session): (TenantId, SessionId),
        provider_id: &str,
        typing: bool,
    ) -> Result<(), AccountError> {
        let account = self.account(tenant, session).await?;
        let mut body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": provider_id});
        if typing {
            body["typing_indicator"] = json!({"type": "text"});
        }
        let path = format!("{}/messages", account.session.phone_number_id);
        account.graph().post(&path, &[], &body).await?;
        Ok(())
    }
}
