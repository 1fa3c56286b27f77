//! What every backend must keep of records, contacts, the ledger and epochs: versions, indexes, pages, writing
//! once, and that no tenant sees another's.

use crate::backend::{Backend, on_every_backend, options};
use crate::world::{BEGIN, phone};
use kabar_engine::address::Address;
use kabar_engine::audience::Audience;
use kabar_engine::chunk::{Chunk, ChunkKey, Recipient};
use kabar_engine::content::Content;
use kabar_engine::frequency::{FrequencyCap, Purpose};
use kabar_engine::id::{CampaignId, ContactId, ImportId, KeyId, SessionId, TenantId};
use kabar_engine::schedule::Hours;
use kabar_engine::time::Timestamp;
use kabar_schema::contacts::{Contact, ContactDraft, Upserted};
use kabar_schema::ledger::PartManifest;
use kabar_schema::records::{
    Campaign, Key, KeyOwner, MetaAck, MetaAnswers, MetaApp, Origin, Record, Relation, Session, Stray, Tenant,
    Timing,
};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::Store;
use kabar_schema::{OpenError, StoreError};
use std::collections::BTreeMap;

on_every_backend!(
    a_record_is_written_only_over_the_version_it_was_read_at,
    pages_are_ordered_by_creation_and_lose_nothing,
    an_index_follows_its_record,
    a_noun_is_found_across_tenants_by_its_index,
    all_records_of_a_kind_come_by_tenant,
    no_tenant_reads_anothers_records,
    sealed_nouns_come_back_and_are_gone_when_the_key_is,
    contacts_are_merged_and_counted,
    the_same_contacts_again_change_nothing,
    contacts_come_by_address_and_list,
    a_deleted_contact_is_on_no_list_also_when_it_comes_back,
    no_tenant_sees_anothers_contacts,
    a_chunk_is_written_once,
    a_part_is_written_once,
    everything_survives_closing_and_opening,
);

const A: TenantId = TenantId(1);
const B: TenantId = TenantId(2);

fn record(tenant: TenantId, id: u64, created: i64, colour: &str) -> Record {
    let indexes = vec![("colour", colour.to_owned()), ("first", colour[..1].to_owned())];
    let body = format!("{tenant} {id} {colour}").into_bytes();
    Record { kind: "thing", tenant, id, version: 0, created: Timestamp(created), indexes, body }
}

/// As it is read.
fn read(mut record: Record, version: u64) -> Record {
    record.version = version;
    record.indexes.clear();
    record
}

async fn a_record_is_written_only_over_the_version_it_was_read_at(backend: Backend) {
    let opened = backend.open().await;
    let records = &opened.store.records;
    let red = record(A, 1, 5, "red");
    assert_eq!(records.get("thing", A, 1).await, Ok(None));
    assert_eq!(records.put(red.clone(), 3).await, Err(StoreError::Conflict));
    assert_eq!(records.put(red.clone(), 0).await, Ok(1));
    assert_eq!(records.put(red.clone(), 0).await, Err(StoreError::Conflict));
    assert_eq!(records.get("thing", A, 1).await, Ok(Some(read(red, 1))));
    let blue = record(A, 1, 5, "blue");
    assert_eq!(records.put(blue.clone(), 2).await, Err(StoreError::Conflict));
    assert_eq!(records.put(blue.clone(), 1).await, Ok(2));
    assert_eq!(records.get("thing", A, 1).await, Ok(Some(read(blue, 2))));
    assert_eq!(records.delete("thing", A, 1, 1).await, Err(StoreError::Conflict));
    assert_eq!(records.delete("thing", A, 1, 2).await, Ok(()));
    assert_eq!(records.get("thing", A, 1).await, Ok(None));
    assert_eq!(records.delete("thing", A, 1, 2).await, Err(StoreError::Conflict));
    assert_eq!(records.delete("thing", A, 1, 0).await, Err(StoreError::Conflict));
    assert_eq!(records.get("other", A, 1).await, Ok(None));
}

async fn pages_are_ordered_by_creation_and_lose_nothing(backend: Backend) {
    let opened = backend.open().await;
    let records = &opened.store.records;
    for n in 0..23_u64 {
        // Several at the same instant; ids against the order of creation.
        let created = i64::try_from(n * 7 % 5).unwrap() - 2;
        let colour = if n % 3 == 0 { "red" } else { "blue" };
        records.put(record(A, 100 - n, created, colour), 0).await.unwrap();
    }
    for (index, count) in [(None, 23), (Some(("colour", "red")), 8), (Some(("first", "b")), 15)] {
        for limit in [1, 4, 100] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = records.page("thing", A, index, after, limit).await.unwrap();
                assert!(page.len() <= limit);
                let Some(last) = page.last() else { break };
                after = Some((last.created, last.id));
                found.extend(page);
            }
            assert_eq!(found.len(), count);
            assert!(found.is_sorted_by(|a, b| (a.created, a.id) < (b.created, b.id)));
        }
    }
    assert_eq!(records.page("thing", A, Some(("colour", "green")), None, 9).await, Ok(vec![]));
    assert_eq!(records.page("thing", A, Some(("first", "red")), None, 9).await, Ok(vec![]));
}

async fn an_index_follows_its_record(backend: Backend) {
    let opened = backend.open().await;
    let records = &opened.store.records;
    records.put(record(A, 1, 5, "red"), 0).await.unwrap();
    records.put(record(A, 1, 5, "blue"), 1).await.unwrap();
    assert_eq!(records.find("thing", "colour", "red").await, Ok(None));
    assert_eq!(records.page("thing", A, Some(("colour", "red")), None, 9).await, Ok(vec![]));
    let blue = read(record(A, 1, 5, "blue"), 2);
    assert_eq!(records.find("thing", "colour", "blue").await, Ok(Some(blue)));
    records.delete("thing", A, 1, 2).await.unwrap();
    assert_eq!(records.find("thing", "colour", "blue").await, Ok(None));
}

async fn a_noun_is_found_across_tenants_by_its_index(backend: Backend) {
    let opened = backend.open().await;
    let nouns = &opened.store.nouns;
    for (n, tenant) in [(1, A), (2, B)] {
        let key = Key {
            id: KeyId(n),
            owner: KeyOwner::Tenant(tenant),
            name: "mine".into(),
            hash: format!("hash {n}"),
            prefix: "kbr".into(),
            scopes: None,
            sessions: None,
            expires: None,
            networks: Vec::new(),
            limits: None,
            rotates: None,
            replaced_by: None,
            body_hash: String::new(),
            created: BEGIN,
            revoked: None,
        };
        nouns.create(&key).await.unwrap();
        let app = MetaApp {
            id: 40 + n,
            tenant,
            app_secrets: vec![format!("secret {n}")],
            verify_token: "v".into(),
            meta_id: None,
            created: BEGIN,
        };
        nouns.create(&app).await.unwrap();
        assert_eq!(nouns.create(&app).await, Err(StoreError::Conflict));
    }
    let found = nouns.find::<Key>(Key::HASH, "hash 2").await.unwrap().unwrap();
    assert_eq!((found.noun.owner, found.noun.id, found.version), (KeyOwner::Tenant(B), KeyId(2), 1));
    let found = nouns.find::<MetaApp>(MetaApp::APP, "41").await.unwrap().unwrap();
    assert_eq!((found.noun.tenant, found.noun.app_secrets), (A, vec!["secret 1".to_owned()]));
    assert_eq!(nouns.find::<Key>(Key::HASH, "hash 3").await, Ok(None));
}

async fn all_records_of_a_kind_come_by_tenant(backend: Backend) {
    let opened = backend.open().await;
    let records = &opened.store.records;
    for n in 0..10 {
        records.put(record(if n % 2 == 0 { B } else { A }, n, 5, "red"), 0).await.unwrap();
    }
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = records.all("thing", after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.tenant, last.id));
        keys.extend(page.iter().map(|r| (r.tenant.0, r.id)));
    }
    assert_eq!(keys, [(1, 1), (1, 3), (1, 5), (1, 7), (1, 9), (2, 0), (2, 2), (2, 4), (2, 6), (2, 8)]);
}

async fn no_tenant_reads_anothers_records(backend: Backend) {
    let opened = backend.open().await;
    let records = &opened.store.records;
    records.put(record(A, 1, 5, "red"), 0).await.unwrap();
    assert_eq!(records.get("thing", B, 1).await, Ok(None));
    assert_eq!(records.page("thing", B, None, None, 9).await, Ok(vec![]));
    assert_eq!(records.page("thing", B, Some(("colour", "red")), None, 9).await, Ok(vec![]));
    assert_eq!(records.delete("thing", B, 1, 1).await, Err(StoreError::Conflict));
    // The same id is free in another tenant, and both stand.
    assert_eq!(records.put(record(B, 1, 5, "blue"), 0).await, Ok(1));
    assert_eq!(records.get("thing", A, 1).await.unwrap().unwrap().tenant, A);
}

fn session(tenant: TenantId, id: u64) -> Session {
    Session {
        id: SessionId(id),
        tenant,
        name: "shop".into(),
        app: 7,
        phone_number_id: format!("1555{id}"),
        display_phone_number: "+62 812".into(),
        base_url: None,
        api_version: "v23.0".into(),
        access_token: "geheim-4711".into(),
        messages_per_second: 80,
        pair_limit: true,
        created: BEGIN.plus_ms(i64::try_from(id).unwrap()),
    }
}

async fn sealed_nouns_come_back_and_are_gone_when_the_key_is(backend: Backend) {
    let opened = backend.open().await;
    let Store { nouns, keyring, records, .. } = &opened.store;
    for n in 0..6 {
        nouns.create(&session(if n == 3 { B } else { A }, n)).await.unwrap();
    }
    let bytes = records.get("session", A, 1).await.unwrap().unwrap().body;
    assert!(!bytes.windows(6).any(|w| w == b"geheim"), "sealed at rest");
    let mut noun = nouns.get::<Session>(A, 1).await.unwrap().unwrap();
    assert_eq!(noun.noun, session(A, 1));
    noun.noun.messages_per_second = 1_000;
    assert_eq!(nouns.update(&noun.noun, noun.version).await, Ok(2));
    assert_eq!(nouns.update(&noun.noun, noun.version).await, Err(StoreError::Conflict));
    assert_eq!(
        nouns.find::<Session>(Session::PHONE_NUMBER_ID, "15551").await.unwrap().unwrap().noun,
        noun.noun
    );
    let ids = |page: &[kabar_schema::records::Versioned<Session>]| -> Vec<u64> {
        page.iter().map(|v| v.noun.id.0).collect()
    };
    assert_eq!(ids(&nouns.page(A, None, None, 3).await.unwrap()), [0, 1, 2]);
    // Moved to another record, a sealed body does not open.
    let moved = Record { id: 99, ..records.get("session", A, 1).await.unwrap().unwrap() };
    records.put(moved, 0).await.unwrap();
    assert_eq!(nouns.get::<Session>(A, 99).await, Err(StoreError::Unavailable));
    records.delete("session", A, 99, 1).await.unwrap();

    keyring.erase(A).await.unwrap();
    assert_eq!(nouns.get::<Session>(A, 1).await, Ok(None));
    assert_eq!(ids(&nouns.page(A, None, None, 9).await.unwrap()), [] as [u64; 0]);
    assert_eq!(ids(&nouns.all(None, 1).await.unwrap()), [3], "passes over what is erased");
    nouns.delete::<Session>(A, 1, 2).await.unwrap();
}

fn draft(n: u32, name: Option<&str>, fields: &[(&str, &str)]) -> ContactDraft {
    ContactDraft {
        address: phone(n),
        input: format!("0812-{n}"),
        name: name.map(Into::into),
        zone: n.is_multiple_of(2).then(|| "Asia/Jakarta".into()),
        fields: fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
}

async fn contacts_are_merged_and_counted(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    let first = vec![draft(2, Some("Budi"), &[("city", "Bandung"), ("tier", "1")]), draft(1, None, &[])];
    let done = contacts.upsert(A, None, first, BEGIN).await.unwrap();
    assert_eq!(done, Upserted { created: 2, updated: 0 });
    // Twice the same new address: the second draft meets the first's contact.
    let later = BEGIN.plus_ms(9);
    let more = vec![draft(2, None, &[("tier", "2")]), draft(3, None, &[]), draft(3, Some("Citra"), &[])];
    let done = contacts.upsert(A, None, more, later).await.unwrap();
    assert_eq!(done, Upserted { created: 1, updated: 2 });
    let budi = contacts.by_address(A, &phone(2)).await.unwrap().unwrap();
    let expected = Contact {
        id: Contact::id_of(A, &phone(2)),
        tenant: A,
        address: phone(2),
        input: "0812-2".into(),
        name: Some("Budi".into()),
        zone: Some("Asia/Jakarta".into()),
        fields: BTreeMap::from([("city".into(), "Bandung".into()), ("tier".into(), "2".into())]),
        created: BEGIN,
        updated: later,
        version: 2,
    };
    assert_eq!(budi, expected);
    assert_eq!(contacts.get(A, budi.id).await, Ok(Some(expected)));
    assert_eq!(contacts.by_address(A, &phone(3)).await.unwrap().unwrap().name.as_deref(), Some("Citra"));
    assert_eq!(contacts.count(A, None).await, Ok(3));
    assert_eq!(contacts.by_address(A, &phone(9)).await, Ok(None));
}

async fn the_same_contacts_again_change_nothing(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    let rows = || (0..50).map(|n| draft(n, Some("Ani"), &[("a", "b")])).collect::<Vec<_>>();
    let list = Some(ImportId(5));
    contacts.upsert(A, list, rows(), BEGIN).await.unwrap();
    let before = contacts.page(A, list, None, 100).await.unwrap();
    let done = contacts.upsert(A, list, rows(), BEGIN.plus_ms(1_000)).await.unwrap();
    assert_eq!(done, Upserted { created: 0, updated: 50 });
    assert_eq!(contacts.page(A, list, None, 100).await.unwrap(), before);
}

async fn contacts_come_by_address_and_list(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    let lid = ContactDraft { address: Address::lid("42").unwrap(), ..draft(0, None, &[]) };
    let user = ContactDraft { address: Address::user_id("ID.7").unwrap(), ..draft(0, None, &[]) };
    let short = ContactDraft { address: Address::phone_digits("99999").unwrap(), ..draft(0, None, &[]) };
    let (odd, even): (Vec<u32>, Vec<u32>) = (0..40).rev().partition(|n| n % 2 == 1);
    let rows = |numbers: Vec<u32>| numbers.into_iter().map(|n| draft(n * 37 % 41, None, &[]));
    let first = rows(odd).chain([lid, user, short]).collect();
    contacts.upsert(A, Some(ImportId(1)), first, BEGIN).await.unwrap();
    contacts.upsert(A, Some(ImportId(2)), rows(even).collect(), BEGIN).await.unwrap();
    for (list, count) in
        [(None, 43), (Some(ImportId(1)), 23), (Some(ImportId(2)), 20), (Some(ImportId(3)), 0)]
    {
        for limit in [1, 7, 100] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = contacts.page(A, list, after.clone(), limit).await.unwrap();
                let Some(last) = page.last() else { break };
                after = Some(last.address.clone());
                found.extend(page.into_iter().map(|c| c.address));
            }
            assert_eq!(found.len(), count);
            assert!(found.is_sorted_by(|a, b| a < b), "in the order of addresses");
        }
        assert_eq!(contacts.count(A, list).await, Ok(count as u64));
    }
}

async fn a_deleted_contact_is_on_no_list_also_when_it_comes_back(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    for list in 1..4 {
        let rows = (0..5).map(|n| draft(n, None, &[])).collect();
        contacts.upsert(A, Some(ImportId(list)), rows, BEGIN).await.unwrap();
    }
    let id = Contact::id_of(A, &phone(2));
    assert_eq!(contacts.delete(B, id).await, Ok(false));
    assert_eq!(contacts.delete(A, id).await, Ok(true));
    assert_eq!(contacts.delete(A, id).await, Ok(false));
    assert_eq!(contacts.get(A, id).await, Ok(None));
    contacts.upsert(A, Some(ImportId(3)), vec![draft(2, None, &[])], BEGIN).await.unwrap();
    for (list, count) in [(1, 4), (2, 4), (3, 5)] {
        assert_eq!(contacts.count(A, Some(ImportId(list))).await, Ok(count));
        let page = contacts.page(A, Some(ImportId(list)), None, 9).await.unwrap();
        assert_eq!(page.len() as u64, count);
    }
}

async fn no_tenant_sees_anothers_contacts(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    contacts.upsert(A, Some(ImportId(1)), vec![draft(1, Some("Ani"), &[])], BEGIN).await.unwrap();
    let id = Contact::id_of(A, &phone(1));
    assert_eq!(contacts.get(B, id).await, Ok(None));
    assert_eq!(contacts.by_address(B, &phone(1)).await, Ok(None));
    assert_eq!(contacts.page(B, None, None, 9).await, Ok(vec![]));
    assert_eq!(contacts.page(B, Some(ImportId(1)), None, 9).await, Ok(vec![]));
    assert_eq!(contacts.count(B, None).await, Ok(0));
    assert_eq!(contacts.count(B, Some(ImportId(1))).await, Ok(0));
    let done = contacts.upsert(B, None, vec![draft(1, None, &[])], BEGIN).await.unwrap();
    assert_eq!(done.created, 1, "the same number is another contact there");
    assert_ne!(contacts.by_address(B, &phone(1)).await.unwrap().unwrap().id, ContactId(id.0));
}

fn chunk(count: u32, word: &str) -> Chunk {
    let recipient = |n: u32| Recipient {
        address: phone(n * 3),
        zone: n.is_multiple_of(2).then(|| "Asia/Makassar".into()),
        values: vec![(!n.is_multiple_of(5)).then(|| format!("{word} {n}").into()), Some("ünï".into())],
    };
    Chunk { columns: ["name".into(), "city".into()].into(), recipients: (0..count).map(recipient).collect() }
}

async fn a_chunk_is_written_once(backend: Backend) {
    let opened = backend.open().await;
    let ledger = &opened.store.ledger;
    let key = ChunkKey { tenant: A, campaign: CampaignId(1), attempt: 1, chunk: 20 };
    assert_eq!(ledger.get_chunk(key).await, Ok(None));
    ledger.put_chunk(key, chunk(512, "a")).await.unwrap();
    assert_eq!(ledger.put_chunk(key, chunk(512, "a")).await, Ok(()));
    assert_eq!(ledger.put_chunk(key, chunk(512, "b")).await, Err(StoreError::Conflict));
    assert_eq!(ledger.put_chunk(key, chunk(511, "a")).await, Err(StoreError::Conflict));
    assert_eq!(ledger.get_chunk(key).await, Ok(Some(chunk(512, "a"))));
    for other in [
        ChunkKey { tenant: B, ..key },
        ChunkKey { campaign: CampaignId(2), ..key },
        ChunkKey { attempt: 2, ..key },
        ChunkKey { chunk: 21, ..key },
    ] {
        assert_eq!(ledger.get_chunk(other).await, Ok(None));
        ledger.put_chunk(other, chunk(3, "c")).await.unwrap();
    }
    assert_eq!(ledger.get_chunk(key).await, Ok(Some(chunk(512, "a"))));
}

async fn a_part_is_written_once(backend: Backend) {
    let opened = backend.open().await;
    let ledger = &opened.store.ledger;
    let manifest = |count| PartManifest {
        session: SessionId(1),
        chunks: (0..20).map(|n| (phone(n * 512), count)).collect(),
    };
    let campaign = CampaignId(1);
    assert_eq!(ledger.get_part(A, campaign, 1, 0).await, Ok(None));
    ledger.put_part(A, campaign, 1, 0, manifest(512)).await.unwrap();
    assert_eq!(ledger.put_part(A, campaign, 1, 0, manifest(512)).await, Ok(()));
    assert_eq!(ledger.put_part(A, campaign, 1, 0, manifest(511)).await, Err(StoreError::Conflict));
    assert_eq!(ledger.get_part(A, campaign, 1, 0).await, Ok(Some(manifest(512))));
    assert_eq!(ledger.get_part(B, campaign, 1, 0).await, Ok(None));
    assert_eq!(ledger.get_part(A, campaign, 2, 0).await, Ok(None));
}

async fn everything_survives_closing_and_opening(backend: Backend) {
    let opened = backend.open().await;
    let store = &opened.store;
    let tenant = Tenant {
        id: A,
        name: "Toko".into(),
        created: BEGIN,
        unknown_after_ms: Tenant::UNKNOWN_AFTER_MS,
        resend_unknown: true,
        reseller: None,
        weight: 40,
        frequency_cap: Some(FrequencyCap { messages: 3, days: 7 }),
        meta: MetaAnswers { ack: MetaAck::Provider, throttle: 400 },
        body_hash: String::new(),
    };
    let campaign = Campaign {
        id: CampaignId(4),
        tenant: A,
        name: "Lebaran".into(),
        content: Content::plain("Halo {{name}}"),
        spintax: true,
        senders: vec![SessionId(1)],
        audience: Audience::Contacts { list: Some(ImportId(3)), filter: None },
        timing: Timing { start_at: None, valid_for_ms: 5, hours: Hours::default(), recurrence: None },
        weight: 30,
        purpose: Purpose::Utility,
        origin: Some(Origin { campaign: CampaignId(3), relation: Relation::Retry }),
        body_hash: "x".into(),
        created: BEGIN,
    };
    let stray = Stray { id: 9, tenant: A, app: 7, at: BEGIN, bytes: vec![0, 255, 7] };
    store.nouns.create(&tenant).await.unwrap();
    store.nouns.create(&campaign).await.unwrap();
    store.nouns.create(&session(A, 3)).await.unwrap();
    store.nouns.create(&stray).await.unwrap();
    let rows = (0..30).map(|n| draft(n, Some("Ani"), &[("a", "b")])).collect();
    store.contacts.upsert(A, Some(ImportId(3)), rows, BEGIN).await.unwrap();
    let key = ChunkKey { tenant: A, campaign: CampaignId(4), attempt: 1, chunk: 0 };
    store.ledger.put_chunk(key, chunk(30, "a")).await.unwrap();
    let contacts = store.contacts.page(A, Some(ImportId(3)), None, 100).await.unwrap();

    let again = opened.reopen().await;
    let store = &again.store;
    assert_eq!(store.nouns.get::<Tenant>(A, A.0).await.unwrap().unwrap().noun, tenant);
    assert_eq!(store.nouns.get::<Campaign>(A, 4).await.unwrap().unwrap().noun, campaign);
    assert_eq!(store.nouns.get::<Session>(A, 3).await.unwrap().unwrap().noun, session(A, 3));
    let strays = store.nouns.page::<Stray>(A, Some((Stray::APP, "7")), None, 9).await.unwrap();
    assert_eq!(strays[0].noun, stray);
    assert_eq!(store.contacts.page(A, Some(ImportId(3)), None, 100).await.unwrap(), contacts);
    assert_eq!(contacts.len(), 30);
    assert_eq!(store.ledger.get_chunk(key).await, Ok(Some(chunk(30, "a"))));
}

#[tokio::test]
async fn a_folder_in_use_is_refused_in_one_clear_sentence() {
    let opened = Backend::Embedded.open().await;
    let refused = Store::embedded(options(opened.folder(), MasterKey::random())).await.unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
}

#[tokio::test]
async fn another_master_key_is_refused() {
    let opened = Backend::Embedded.open().await;
    opened.store.nouns.create(&session(A, 1)).await.unwrap();
    let folder = opened.folder();
    opened.store.close().await;
    let again = options(folder, MasterKey::random());
    // The first store still stands, closed: its journal's lock goes with it, so only the keys are asked.
    let refused = Store::embedded(again).await.unwrap_err();
    assert!(matches!(refused, OpenError::MasterKey), "{refused}");
}

#[tokio::test]
async fn a_closed_store_answers_unavailable() {
    let opened = Backend::Embedded.open().await;
    opened.store.close().await;
    assert_eq!(opened.store.records.get("thing", A, 1).await, Err(StoreError::Unavailable));
    assert_eq!(opened.store.records.put(record(A, 1, 5, "red"), 0).await, Err(StoreError::Unavailable));
    assert_eq!(opened.store.views.marks().await, Err(StoreError::Unavailable));
}

#[tokio::test]
async fn contacts_and_variables_are_not_readable_on_disk() {
    let opened = Backend::Embedded.open().await;
    let word = "rahasia-77aa";
    let rows = (0..200).map(|n| draft(n, Some(word), &[("note", word)])).collect();
    opened.store.contacts.upsert(A, None, rows, BEGIN).await.unwrap();
    let key = ChunkKey { tenant: A, campaign: CampaignId(4), attempt: 1, chunk: 0 };
    opened.store.ledger.put_chunk(key, chunk(300, word)).await.unwrap();
    opened.store.close().await;
    let file = std::fs::read(opened.folder().join("records.db")).unwrap();
    assert!(file.len() > 20_000);
    assert!(!file.windows(word.len()).any(|w| w == word.as_bytes()));
}
