//! Keys at rest: who can open what, and that an erased key stays gone.

use kabar_engine::id::TenantId;
use kabar_schema::error::{OpenError, StoreError};
use kabar_schema::memory::MemoryRecords;
use kabar_schema::records::Records;
use kabar_schema::rotate::{Rotated, rotate};
use kabar_schema::seal::{Keyring, MasterKey, SealError, Sealed};
use std::sync::Arc;

const ONE: TenantId = TenantId(1);
const TWO: TenantId = TenantId(2);

fn keyring(master: &MasterKey, records: &Arc<MemoryRecords>) -> Keyring {
    Keyring::new(master.clone(), Arc::clone(records) as Arc<dyn Records>)
}

#[tokio::test]
async fn what_is_sealed_opens_for_its_tenant_and_place_only() {
    let keys = keyring(&MasterKey::random(), &Arc::default());
    keys.ensure(ONE).await.unwrap();
    keys.ensure(TWO).await.unwrap();
    let sealed = keys.seal(ONE, b"rahasia", b"here").unwrap();
    assert!(!sealed.to_bytes().windows(7).any(|window| window == b"rahasia"));
    assert_eq!(keys.open(ONE, &sealed, b"here"), Ok(Some(b"rahasia".to_vec())));
    assert_eq!(keys.open_bytes(ONE, &sealed.to_bytes(), b"here"), Ok(Some(b"rahasia".to_vec())));
    assert_eq!(keys.open(ONE, &sealed, b"there"), Err(SealError::Broken));
    assert_eq!(keys.open(TWO, &sealed, b"here"), Err(SealError::Broken));
    let bytes = sealed.to_bytes();
    for at in 0..bytes.len() {
        let mut torn = bytes.clone();
        torn[at] ^= 1;
        // A flipped key id names a key that is not there, which reads as erased.
        assert_ne!(keys.open_bytes(ONE, &torn, b"here"), Ok(Some(b"rahasia".to_vec())), "byte {at}");
        assert_eq!(Sealed::from_bytes(&bytes[..at.min(28)]), Err(SealError::Broken));
    }
}

#[tokio::test]
async fn the_same_text_is_never_sealed_to_the_same_bytes() {
    let (master, records) = (MasterKey::random(), Arc::default());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let keys = keyring(&master, &records);
        keys.ensure(ONE).await.unwrap();
        for _ in 0..100 {
            assert!(seen.insert(keys.seal(ONE, b"halo", b"").unwrap().nonce));
        }
    }
}

#[tokio::test]
async fn two_creators_meet_on_one_key() {
    let (master, records) = (MasterKey::random(), Arc::default());
    let (one, other) = (keyring(&master, &records), keyring(&master, &records));
    let (a, b) = futures::join!(one.ensure(ONE), other.ensure(ONE));
    assert_eq!((a, b), (Ok(()), Ok(())));
    let sealed = one.seal(ONE, b"halo", b"").unwrap();
    assert_eq!(other.open(ONE, &sealed, b""), Ok(Some(b"halo".to_vec())));
}

#[tokio::test]
async fn keys_are_found_again_with_the_master_key_and_with_no_other() {
    let (master, records) = (MasterKey::random(), Arc::default());
    let first = keyring(&master, &records);
    for tenant in 1..1_200 {
        first.ensure(TenantId(tenant)).await.unwrap();
    }
    let sealed = first.seal(TenantId(1_199), b"halo", b"").unwrap();
    let again = keyring(&MasterKey::from_hex(&master.to_hex()).unwrap(), &records);
    assert_eq!(again.open(TenantId(1_199), &sealed, b""), Err(SealError::NoKey), "not loaded is not erased");
    again.load().await.unwrap();
    assert_eq!(again.open(TenantId(1_199), &sealed, b""), Ok(Some(b"halo".to_vec())));
    let stranger = keyring(&MasterKey::random(), &records);
    assert!(matches!(stranger.load().await, Err(OpenError::MasterKey)));
    assert_eq!(stranger.ensure(ONE).await, Err(StoreError::Unavailable));
    assert_eq!(stranger.seal(ONE, b"halo", b""), Err(SealError::NoKey));
}

#[tokio::test]
async fn an_erased_tenant_is_gone_for_good() {
    let (master, records) = (MasterKey::random(), Arc::default());
    let keys = keyring(&master, &records);
    keys.ensure(ONE).await.unwrap();
    let sealed = keys.seal(ONE, b"halo", b"").unwrap();
    keys.erase(ONE).await.unwrap();
    assert_eq!(keys.open(ONE, &sealed, b""), Ok(None));
    assert_eq!(keys.seal(ONE, b"halo", b""), Err(SealError::NoKey));
    assert_eq!(keys.ensure(ONE).await, Err(StoreError::Conflict), "a new key would not open the old texts");
    let later = keyring(&master, &records);
    later.load().await.unwrap();
    assert_eq!(later.open(ONE, &sealed, b""), Ok(None));
    assert_eq!(later.erased(ONE), Ok(true));
}

#[tokio::test]
async fn a_rotation_broken_off_anywhere_leaves_everything_readable_and_goes_on() {
    let (old, records) = (MasterKey::random(), Arc::<MemoryRecords>::default());
    let tenants: Vec<_> = (1..=20).map(TenantId).collect();
    let keys = keyring(&old, &records);
    let mut sealed = Vec::new();
    for tenant in &tenants {
        keys.ensure(*tenant).await.unwrap();
        sealed.push(keys.seal(*tenant, b"halo", b"").unwrap());
    }
    let new = MasterKey::random();
    let both = new.clone().replacing(&old);
    // Some records are written, then the process ends.
    for record in records.all("data_key", None, 7).await.unwrap() {
        let few = Arc::new(MemoryRecords::default());
        few.put(record.clone(), 0).await.unwrap();
        rotate(&*few, &both, &|_| ()).await.unwrap();
        let turned = few.all("data_key", None, 1).await.unwrap().remove(0);
        records.put(turned, record.version).await.unwrap();
    }
    for (half, opens) in [(&old, false), (&new, false), (&both, true)] {
        assert_eq!(keyring(half, &records).load().await.is_ok(), opens);
    }
    // A server that starts now seals for a tenant it has not met.
    let between = keyring(&both, &records);
    between.load().await.unwrap();
    between.ensure(TenantId(99)).await.unwrap();
    let rotated = rotate(&*records, &both, &|_| ()).await.unwrap();
    assert_eq!(rotated, Rotated { wrapped: 13, before: 8 });
    let after = keyring(&new, &records);
    after.load().await.unwrap();
    for (tenant, sealed) in tenants.iter().zip(&sealed) {
        assert_eq!(after.open(*tenant, sealed, b""), Ok(Some(b"halo".to_vec())));
    }
    assert!(matches!(keyring(&old, &records).load().await, Err(OpenError::MasterKey)));
    assert_eq!(rotate(&*records, &both, &|_| ()).await.unwrap(), Rotated { wrapped: 0, before: 21 });
    let stranger = MasterKey::random().replacing(&MasterKey::random());
    assert!(matches!(rotate(&*records, &stranger, &|_| ()).await, Err(OpenError::MasterKey)));
}

#[test]
fn a_master_key_is_read_from_its_digits_and_never_shown() {
    let key = MasterKey::random();
    assert_eq!(key.to_hex().len(), 64);
    assert_eq!(format!("{key:?}"), "MasterKey(…)");
    for bad in ["", "12", &"g".repeat(64), &"0".repeat(65)] {
        assert!(MasterKey::from_hex(bad).is_none(), "{bad}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    assert!(matches!(MasterKey::from_file(&path), Err(OpenError::Io { .. })));
    std::fs::write(&path, format!("{}\n", key.to_hex())).unwrap();
    assert_eq!(MasterKey::from_file(&path).unwrap().to_hex(), key.to_hex());
    std::fs::write(&path, "short").unwrap();
    let refused = MasterKey::from_file(&path).unwrap_err().to_string();
    assert!(refused.contains("64 hexadecimal digits"), "{refused}");
}
