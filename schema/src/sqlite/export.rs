//! The tables row after row, in pages by their keys, for a move to another store: what the seams cannot list. Here is
//! what lies where; the rows of views are read through [`crate::views::Views`] by the keys that are told here.

use super::contacts::{Numbered, numbered};
use super::database::{Database, Fault};
use super::number::{Columns, damaged, int};
use crate::Answer;
use crate::error::StoreError;
use crate::records::{DataKey, Noun, Record};
use crate::seal::Keyring;
use kabar_engine::chunk::ChunkKey;
use kabar_engine::id::{CampaignId, ConversationId, ImportId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::overlay::Key;
use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Numbers of messages written in one transaction.
const NUMBERED: usize = 2_000;

/// A table of views whose rows are told by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ViewTable {
    Messages,
    Conversations,
    Addresses,
    /// One generation.
    Seen(i64),
    /// One generation.
    Idempotency(i64),
    Campaigns,
    Parts,
    Marks,
    Runs,
    Consents,
}

/// Where a page goes on: the key columns of the last row.
pub(crate) type After = Vec<rusqlite::types::Value>;

/// A page of keys, each with the shard its row is written by, where the tables tell it.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The keys.
    pub(crate) keys: Vec<(Option<ShardId>, Key)>,
    /// Where the next page begins; `None`: there is none.
    pub(crate) after: Option<After>,
}

/// The tables of an embedded store.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    views: Arc<Database>,
    records: Arc<Database>,
    keyring: Arc<Keyring>,
}

/// Names of kinds and indexes as the seam wants them. There are some dozen; they stay for the process.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, &'static str>);

impl Names {
    fn of(&mut self, name: String) -> &'static str {
        self.0.entry(name).or_insert_with_key(|name| name.clone().leak())
    }
}

impl ViewTable {
    /// The columns of its key in order, further ones, and the table.
    fn sql(self) -> (&'static [&'static str], &'static str, String) {
        match self {
            Self::Messages => (&["id"], "", "message".into()),
            Self::Conversations => (&["id"], ", tenant, session", "conversation".into()),
            Self::Addresses => (&["session", "address"], ", tenant", "address".into()),
            Self::Seen(n) => (&["hash", "session"], "", format!("seen_{n}")),
            Self::Idempotency(n) => (&["key", "session"], "", format!("\"idempotency_{n}\"")),
            Self::Campaigns => (&["id"], ", shard", "campaign".into()),
            Self::Parts => (&["campaign", "part"], ", shard", "part".into()),
            Self::Marks => (&["campaign", "chunk"], ", shard", "marks".into()),
            Self::Runs => (&["shard", "base"], "", "run".into()),
            Self::Consents => (&["tenant", "address", "shard"], "", "suppressed".into()),
        }
    }

    fn key(self, row: &Row<'_>) -> Result<(Option<ShardId>, Key), Fault> {
        let told = |at: usize| row.get::<_, u8>(at).map(|n| Some(ShardId(n)));
        Ok(match self {
            Self::Messages => {
                let id = MessageId(row.id(0)?);
                (Some(id.shard()), Key::Message(id))
            }
            Self::Conversations => {
                let shard = ShardId::of_session(TenantId(row.id(1)?), SessionId(row.id(2)?));
                (Some(shard), Key::Conversation(ConversationId(row.id(0)?)))
            }
            Self::Addresses => {
                let session = SessionId(row.id(0)?);
                let shard = ShardId::of_session(TenantId(row.id(2)?), session);
                (Some(shard), Key::Address(session, row.address(1)?))
            }
            Self::Seen(_) => (None, Key::Seen(SessionId(row.id(1)?), row.id(0)?)),
            Self::Idempotency(_) => {
                let key = u128::from_be_bytes(row.get(0)?);
                (None, Key::Idempotency(SessionId(row.id(1)?), key))
            }
            Self::Campaigns => (told(1)?, Key::Campaign(CampaignId(row.id(0)?))),
            Self::Parts => (told(2)?, Key::Part(CampaignId(row.id(0)?), row.get(1)?)),
            Self::Marks => (told(2)?, Key::Marks(CampaignId(row.id(0)?), row.get(1)?)),
            Self::Runs => (told(0)?, Key::Run(MessageId(row.id(1)?))),
            Self::Consents => (told(2)?, Key::Consent(TenantId(row.id(0)?), row.address(1)?)),
        })
    }
}

fn keys(tx: &Transaction<'_>, table: ViewTable, after: &After, limit: usize) -> Result<Keys, Fault> {
    let (columns, further, from) = table.sql();
    let list = columns.join(", ");
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
    let behind =
        if after.is_empty() { String::new() } else { format!("WHERE ({list}) > ({})", places.join(", ")) };
    let sql = format!("SELECT {list}{further} FROM {from} {behind} ORDER BY {list} LIMIT {limit}");
    let mut statement = tx.prepare_cached(&sql)?;
    let bound: Vec<&dyn ToSql> = after.iter().map(|value| value as &dyn ToSql).collect();
    let mut rows = statement.query(&bound[..])?;
    let mut page = Keys::default();
    while let Some(row) = rows.next()? {
        page.keys.push(table.key(row)?);
        if page.keys.len() == limit {
            page.after = Some((0..columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?);
        }
    }
    Ok(page)
}

fn records(
    tx: &Transaction<'_>,
    names: &mut Names,
    (data_keys, after): (bool, i64),
    limit: usize,
) -> Result<Vec<(i64, Record)>, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT n, kind, tenant, id, version, created, body FROM record \
         WHERE n > ?1 AND (kind = ?2) = ?3 ORDER BY n LIMIT ?4",
    )?;
    let mut find = tx.prepare_cached("SELECT name, value FROM record_index WHERE n = ?1")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after, DataKey::KIND, data_keys, limit])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let n: i64 = row.get(0)?;
        let mut indexes = Vec::new();
        let mut found = find.query([n])?;
        while let Some(index) = found.next()? {
            indexes.push((names.of(index.get(0)?), index.get(1)?));
        }
        let kind = names.of(row.get(1)?);
        let (tenant, id, version) = (TenantId(row.id(2)?), row.id(3)?, row.id(4)?);
        let (created, body) = (row.time(5)?, row.get(6)?);
        list.push((n, Record { kind, tenant, id, version, created, indexes, body }));
    }
    Ok(list)
}

/// Every value of every row of a statement goes into the hash.
fn hash_rows(tx: &Transaction<'_>, sql: &str, hash: &mut Xxh3) -> Result<(), Fault> {
    let mut statement = tx.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for at in 0..columns {
            hash.update(format!("{:?}|", row.get_ref(at)?).as_bytes());
        }
    }
    Ok(())
}

fn hash_records(tx: &Transaction<'_>) -> Result<Xxh3, Fault> {
    let mut hash = Xxh3::new();
    hash_rows(
        tx,
        "SELECT tenant, id, body FROM record WHERE kind = 'data_key' ORDER BY tenant, id",
        &mut hash,
    )?;
    hash_rows(tx, "SELECT count(*), total(version), max(n) FROM record", &mut hash)?;
    hash_rows(tx, "SELECT count(*), total(version), max(n) FROM contact", &mut hash)?;
    hash_rows(tx, "SELECT count(*), max(n) FROM ledger_chunk", &mut hash)?;
    // Every start of a node leaves its trace in the leases, whatever their tables are.
    let mut tables = tx.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'lease%' ORDER BY name",
    )?;
    let names = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    for name in names {
        hash_rows(tx, &format!("SELECT * FROM \"{name}\""), &mut hash)?;
    }
    Ok(hash)
}

/// The conversations with messages whose number is not known, as far as this page of messages tells, and where the
/// next one begins.
fn unnumbered(tx: &Transaction<'_>, after: i64) -> Result<(BTreeSet<i64>, Option<i64>), Fault> {
    let mut find = tx.prepare_cached(
        "SELECT id, conversation FROM message WHERE id > ?1 AND number = 0 ORDER BY id LIMIT 5000",
    )?;
    let mut rows = find.query([after])?;
    let (mut conversations, mut last) = (BTreeSet::new(), None);
    while let Some(row) = rows.next()? {
        last = Some(row.get(0)?);
        conversations.insert(row.get(1)?);
    }
    Ok((conversations, last))
}

/// A place in a conversation's chain: the next message downwards, and the number it should have.
type Link = (i64, i64);

fn head(tx: &Transaction<'_>, conversation: i64) -> Result<Option<Link>, Fault> {
    let mut find = tx.prepare_cached("SELECT last, count FROM conversation WHERE id = ?1")?;
    let found: Option<(Option<i64>, i64)> =
        find.query_row([conversation], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    Ok(found.and_then(|(last, count)| last.map(|last| (last, count))))
}

/// Walks down the chain from `link` and numbers what has no number; tells where to go on, and how many it numbered.
fn number(tx: &Transaction<'_>, conversation: i64, link: Link) -> Result<(Option<Link>, u64), Fault> {
    let mut find =
        tx.prepare_cached("SELECT prev, number FROM message WHERE id = ?1 AND conversation = ?2")?;
    let mut write = tx.prepare_cached("UPDATE message SET number = ?2 WHERE id = ?1")?;
    let (mut next, mut done) = (Some(link), 0);
    for _ in 0..NUMBERED {
        let Some((id, should)) = next else { break };
        let found: Option<(Option<i64>, i64)> =
            find.query_row([id, conversation], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((prev, has)) = found else { return Ok((None, done)) };
        let is = if has == 0 { should } else { has };
        if has == 0 && should > 0 {
            write.execute([id, should])?;
            done += 1;
        }
        if is < 1 && prev.is_some() {
            return Err(damaged("a conversation's chain is longer than its count"));
        }
        next = prev.map(|prev| (prev, is - 1));
    }
    Ok((next, done))
}

impl Export {
    /// The tables of these databases; the keyring must have loaded all keys.
    pub(crate) fn new(views: Arc<Database>, records: Arc<Database>, keyring: Arc<Keyring>) -> Self {
        Self { views, records, keyring }
    }

    /// Names what lies here: another folder, or the same one after a node ran on it, has another.
    pub(crate) async fn fingerprint(&self) -> Result<u128, StoreError> {
        let hash = self.records.read(hash_records).await?;
        let marks = self.views.read(move |tx| {
            let mut hash = hash;
            hash_rows(tx, "SELECT shard, position, last_id FROM shard_mark ORDER BY shard", &mut hash)?;
            Ok(hash.digest128())
        });
        marks.await
    }

    /// How many rows a table of views has.
    pub(crate) async fn count(&self, table: ViewTable) -> Result<u64, StoreError> {
        let sql = format!("SELECT count(*) FROM {}", table.sql().2);
        self.views.read(move |tx| tx.query_row(&sql, [], |row| Ok(row.id(0)))?).await
    }

    /// How many records, contacts, chunks and parts there are.
    pub(crate) async fn counts(&self) -> Result<(u64, u64, u64), StoreError> {
        let count = |tx: &Transaction<'_>, table: &str| -> Result<u64, Fault> {
            tx.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| Ok(row.id(0)))?
        };
        self.records
            .read(move |tx| {
                let ledger = count(tx, "ledger_chunk")? + count(tx, "ledger_part")?;
                Ok((count(tx, "record")?, count(tx, "contact")?, ledger))
            })
            .await
    }

    /// A page of a table's keys in their order, from the begin with an empty `after`.
    pub(crate) async fn keys(
        &self,
        table: ViewTable,
        after: After,
        limit: usize,
    ) -> Result<Keys, StoreError> {
        self.views.read(move |tx| keys(tx, table, &after, limit)).await
    }

    /// The tables that come in generations, oldest first: what stands in two counts in the newer.
    pub(crate) async fn generations(&self) -> Result<Vec<ViewTable>, StoreError> {
        let list = self.views.read(|tx| {
            let mut find = tx.prepare("SELECT kind, number FROM generation ORDER BY kind, number")?;
            let rows = find.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<Vec<_>, _>>()?)
        });
        let table = |(kind, n): (String, i64)| {
            if kind == "seen" { ViewTable::Seen(n) } else { ViewTable::Idempotency(n) }
        };
        Ok(list.await?.into_iter().map(table).collect())
    }

    /// The tenants and sessions that have conversations, and the sessions that have parts.
    pub(crate) async fn sessions(
        &self,
    ) -> Result<(BTreeSet<(TenantId, SessionId)>, BTreeSet<SessionId>), StoreError> {
        self.views
            .read(|tx| {
                let mut talking = tx.prepare("SELECT DISTINCT tenant, session FROM conversation")?;
                let talking = super::views::collect(&mut talking, [], |r| {
                    Ok((TenantId(r.id(0)?), SessionId(r.id(1)?)))
                })?;
                let mut sending = tx.prepare("SELECT DISTINCT session FROM part")?;
                let sending = super::views::collect(&mut sending, [], |r| Ok(SessionId(r.id(0)?)))?;
                Ok((talking.into_iter().collect(), sending.into_iter().collect()))
            })
            .await
    }

    /// Every tenant that views or contacts know.
    pub(crate) async fn tenants(&self) -> Result<BTreeSet<TenantId>, StoreError> {
        let of = |tables: &'static [&'static str]| {
            move |tx: &Transaction<'_>| {
                let mut all = BTreeSet::new();
                for table in tables {
                    let mut find = tx.prepare(&format!("SELECT DISTINCT tenant FROM {table}"))?;
                    all.extend(super::views::collect(&mut find, [], |row| Ok(TenantId(row.id(0)?)))?);
                }
                Ok(all)
            }
        };
        let mut all = self.views.read(of(&["conversation", "suppressed", "discovered"])).await?;
        all.extend(self.records.read(of(&["contact"])).await?);
        Ok(all)
    }

    /// A page of records with their indexes: the tenants' data keys, or all others.
    pub(crate) async fn records(
        &self,
        mut names: Names,
        from: (bool, i64),
        limit: usize,
    ) -> Result<(Names, Vec<(i64, Record)>), StoreError> {
        self.records
            .read(move |tx| {
                let list = records(tx, &mut names, from, limit)?;
                Ok((names, list))
            })
            .await
    }

    /// A page of contacts with their lists.
    pub(crate) fn contacts(&self, after: i64, limit: i64) -> Answer<'_, Vec<Numbered>> {
        let keyring = Arc::clone(&self.keyring);
        Box::pin(self.records.read(move |tx| numbered(tx, &keyring, after, limit)))
    }

    /// Every list of contacts.
    pub(crate) async fn lists(&self) -> Result<Vec<(TenantId, ImportId)>, StoreError> {
        self.records
            .read(|tx| {
                let mut find = tx.prepare("SELECT DISTINCT tenant, list FROM contact_list")?;
                super::views::collect(&mut find, [], |row| Ok((TenantId(row.id(0)?), ImportId(row.id(1)?))))
            })
            .await
    }

    /// A page of chunks by the number of their rows.
    pub(crate) async fn chunks(&self, after: i64, limit: usize) -> Result<Vec<(i64, ChunkKey)>, StoreError> {
        self.records
            .read(move |tx| {
                let sql = "SELECT n, tenant, campaign, attempt, chunk FROM ledger_chunk WHERE n > ?1 ORDER BY n LIMIT ?2";
                let parameters = params![after, i64::try_from(limit).unwrap_or(i64::MAX)];
                super::views::collect(&mut *tx.prepare_cached(sql)?, parameters, |row| {
                    let (tenant, campaign) = (TenantId(row.id(1)?), CampaignId(row.id(2)?));
                    let key = ChunkKey { tenant, campaign, attempt: row.get(3)?, chunk: row.get(4)? };
                    Ok((row.get(0)?, key))
                })
            })
            .await
    }

    /// A page of parts' keys behind one of them: tenant, campaign, attempt, part.
    pub(crate) async fn parts(&self, after: [u64; 4], limit: usize) -> Result<Vec<[u64; 4]>, StoreError> {
        self.records
            .read(move |tx| {
                let sql = "SELECT tenant, campaign, attempt, part FROM ledger_part \
                     WHERE (tenant, campaign, attempt, part) > (?1, ?2, ?3, ?4) \
                     ORDER BY tenant, campaign, attempt, part LIMIT ?5";
                let [a, b, c, d] = after.map(int);
                let parameters = params![a, b, c, d, i64::try_from(limit).unwrap_or(i64::MAX)];
                super::views::collect(&mut *tx.prepare_cached(sql)?, parameters, |row| {
                    Ok([row.id(0)?, row.id(1)?, row.id(2)?, row.id(3)?])
                })
            })
            .await
    }

    /// Numbers the messages of the next conversations that have some without; tells how many, and where to go on.
    pub(crate) async fn number(&self, after: i64) -> Result<(u64, Option<i64>), StoreError> {
        let (conversations, next) = self.views.read(move |tx| unnumbered(tx, after)).await?;
        let mut done = 0;
        for conversation in conversations {
            let mut link = self.views.read(move |tx| head(tx, conversation)).await?;
            while let Some(at) = link {
                let (next, numbered) = self.views.write(move |tx| number(tx, conversation, at)).await?;
                (link, done) = (next, done + numbered);
            }
        }
        Ok((done, next))
    }
}
