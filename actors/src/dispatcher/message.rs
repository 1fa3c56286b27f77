//! A message as it stands now: its row, and what a campaign's message keeps elsewhere: the status in its recipient's
//! mark, the content in the campaign's record and the audience's chunk. Not the walk along a conversation.

use super::{DispatchError, Dispatcher};
use crate::media::received;
use crate::view::{MediaState, MessageView, overlay_mark};
use futures::stream::{self, StreamExt, TryStreamExt};
use kabar_engine::address::Address;
use kabar_engine::chunk::ChunkKey;
use kabar_engine::content::Content;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, TenantId};
use kabar_engine::mark::CHUNK;
use kabar_engine::message::{MessageRow, Stage, Times};
use kabar_engine::overlay::{Key, Overlay};
use kabar_engine::pacing::Lane;
use kabar_engine::part::{PartRow, chunk_of, part_of};
use kabar_engine::spintax;
use kabar_engine::status::Status;
use kabar_engine::template::ContentPattern;
use kabar_schema::records::Campaign as Spec;
use std::sync::Arc;

/// Messages of a page that are completed at the same time. They are of different campaigns more often than not, so
/// that there is little to share among them; what there is to gain is the waiting.
const AT_ONCE: usize = 8;

impl Dispatcher {
    /// A message as it stands now; also a campaign's, by the id of its recipient's message.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn message(
        &self,
        tenant: TenantId,
        id: MessageId,
    ) -> Result<Option<MessageView>, DispatchError> {
        let shard = self.0.shard(id.shard());
        let row = shard.read(&[Key::Message(id)], move |o| o.message(id)).await?;
        let view = match row {
            Some(row) if row.tenant != tenant => None,
            Some(row) => Some(self.complete((*row).clone()).await?),
            None => self.recipient(tenant, id).await?,
        };
        let Some(mut view) = view else { return Ok(None) };
        view.wait = self.wait(&view.row).await?;
        Ok(Some(view))
    }

    /// Completes a page of messages, in their order.
    pub(super) async fn complete_all(
        &self,
        rows: Vec<MessageRow>,
    ) -> Result<Vec<MessageView>, DispatchError> {
        // Each future owns its front door: a borrowed one could not be sent to another thread.
        let each = rows.into_iter().map(|row| {
            let me = self.clone();
            async move { me.complete(row).await }
        });
        stream::iter(each).buffered(AT_ONCE).try_collect().await
    }

    /// Fills in what a campaign's message keeps elsewhere.
    async fn complete(&self, mut row: MessageRow) -> Result<MessageView, DispatchError> {
        let Some((campaign, index)) = row.campaign else {
            let media = self.came_with(&row).await?;
            return Ok(MessageView { media, ..row.into() });
        };
        let shard = self.0.shard(row.id.shard());
        let part = part_of(index);
        let look = move |o: &Overlay| (o.part(campaign, part), o.mark(campaign, index));
        let (part, mark) = shard.read(&[Key::Part(campaign, part)], look).await?;
        if let (Some(part), Some(mark)) = (part, mark) {
            overlay_mark(&mut row, mark, part.start.launched);
            let (key, offset) = place(&part, index);
            row.content = self.render(key, offset).await?.map(|(_, content)| Arc::new(content));
        }
        Ok(row.into())
    }

    /// Where the file is that came with a received message. What is older than this was never noted.
    async fn came_with(&self, row: &MessageRow) -> Result<Option<MediaState>, DispatchError> {
        let sent = row.content.as_deref().and_then(Content::received_file).is_some();
        let Some(provider_id) = row.provider_id.as_deref().filter(|_| sent && row.status == Status::Received)
        else {
            return Ok(None);
        };
        let known = received::look(&self.0, (row.tenant, row.session), provider_id).await?;
        Ok(known.map(|done| match done {
            None => MediaState::Pending,
            Some(Ok(media)) => MediaState::Stored(media),
            Some(Err(cause)) => MediaState::Failed(cause),
        }))
    }

    async fn render(&self, key: ChunkKey, offset: u32) -> Result<Option<(Address, Content)>, DispatchError> {
        let spec = self.0.store().nouns.get::<Spec>(key.tenant, key.campaign.0).await?;
        let chunk = self.0.store().ledger.get_chunk(key).await?;
        let (Some(spec), Some(chunk)) = (spec, chunk) else { return Ok(None) };
        let Some(recipient) = chunk.recipients.get(offset as usize) else { return Ok(None) };
        let Ok(pattern) = ContentPattern::compile(&spec.noun.content, spec.noun.spintax) else {
            return Ok(None);
        };
        let seed = spintax::seed(key.campaign, &recipient.address);
        let content = pattern.render(seed, &|name| chunk.value(offset, name)).ok();
        Ok(content.map(|content| (recipient.address.clone(), content)))
    }

    /// A recipient that has no row of its own: its run names the chunk, its mark the status.
    async fn recipient(&self, tenant: TenantId, id: MessageId) -> Result<Option<MessageView>, DispatchError> {
        let shard = self.0.shard(id.shard());
        let run = shard.read(&[Key::Run(id)], move |o| o.run(id)).await?;
        let Some(run) = run.filter(|r| r.tenant == tenant) else { return Ok(None) };
        let Some(offset) = (0..run.count).find(|n| run.base.plus(*n) == id) else { return Ok(None) };
        let (campaign, number, index) = (run.campaign, run.part, run.chunk * CHUNK + offset);
        let look = move |o: &Overlay| (o.part(campaign, number), o.mark(campaign, index));
        let (part, mark) = shard.read(&[Key::Part(campaign, number)], look).await?;
        let Some(part) = part else { return Ok(None) };
        let (key, offset) = place(&part, index);
        let Some((address, content)) = self.render(key, offset).await? else { return Ok(None) };
        let mut row = unsent(&part, id, (address, index));
        if let Some(mark) = mark {
            overlay_mark(&mut row, mark, part.start.launched);
            row.content = Some(Arc::new(content));
        }
        Ok(Some(row.into()))
    }
}

/// Where the ledger keeps a recipient of a part.
fn place(part: &PartRow, index: u32) -> (ChunkKey, u32) {
    let (chunk, offset) = chunk_of(index);
    let (tenant, campaign, attempt) = (part.tenant, part.start.campaign, part.start.attempt);
    (ChunkKey { tenant, campaign, attempt, chunk }, offset)
}

/// The row that stands for a recipient who has none, before its mark is laid over it.
fn unsent(part: &PartRow, id: MessageId, (address, index): (Address, u32)) -> MessageRow {
    let launched = part.start.launched;
    MessageRow {
        id,
        tenant: part.tenant,
        session: part.start.session,
        conversation: ConversationId(0),
        address,
        content: None,
        lane: Lane::Broadcast,
        status: Status::Queued,
        stage: Stage::Done,
        attempts: 0,
        due: launched,
        valid_until: part.start.valid_until,
        times: Times { accepted: launched, ..Times::default() },
        provider_id: None,
        beside: None,
        pricing: None,
        detailed: false,
        cause: None,
        context: None,
        tag: None,
        campaign: Some((part.start.campaign, index)),
        prev: None,
        number: 0,
        upto: Position::default(),
    }
}
