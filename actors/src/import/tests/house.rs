//! What the tests of the import share: an importer on the memory store, and bodies cut to pieces.

use crate::import::{ImportError, ImportRequest, Importer, ImporterParts, Mapping};
use bytes::Bytes;
use futures::{FutureExt, Stream, stream};
use kabar_engine::address::Address;
use kabar_engine::id::{ImportId, TenantId};
use kabar_runtime::{Clock, Node, NodeOptions};
use kabar_schema::contacts::Contact;
use kabar_schema::records::Import;
use kabar_schema::store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whose contacts.
pub(super) const TENANT: TenantId = TenantId(5);

/// An importer with what it works on.
pub(super) struct House {
    pub(super) store: Store,
    pub(super) request: ImportRequest,
    pub(super) parts: ImporterParts,
    pub(super) node: Node<u64>,
    opt_outs: Arc<Mutex<Vec<Address>>>,
    settled: Arc<AtomicUsize>,
}

impl House {
    /// A house whose jobs run inline under a virtual clock, and a test in it.
    pub(super) fn run(test: impl AsyncFnOnce(Self)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async { test(Self::new(Clock::virtual_at(1_800_000_000_000))).await });
    }

    /// A house on this clock.
    pub(super) fn new(clock: Clock) -> Self {
        let store = Store::memory();
        let node: Node<u64> = Node::new(NodeOptions::with_clock(clock.clone()));
        let (opt_outs, settled) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (recorded, counted) = (Arc::clone(&opt_outs), Arc::clone(&settled));
        let parts = ImporterParts {
            contacts: Arc::clone(&store.contacts),
            nouns: store.nouns.clone(),
            compute: node.compute().clone(),
            clock,
            opt_out: Arc::new(move |_, address| {
                recorded.lock().push(address);
                std::future::ready(Ok(())).boxed()
            }),
            settled: Arc::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                std::future::ready(()).boxed()
            }),
        };
        let request = ImportRequest {
            tenant: TENANT,
            import: ImportId(1),
            name: "customers".to_owned(),
            mapping: Mapping::default(),
            consent_basis: kabar_schema::records::ConsentBasis::default(),
            consent_source: None,
            default_region: Some("ID".parse().unwrap()),
            delimiter: None,
        };
        Self { store, request, parts, node, opt_outs, settled }
    }

    /// Imports under an id.
    pub(super) async fn import<S>(&self, id: u64, body: S) -> Result<Import, ImportError>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
    {
        let request = ImportRequest { import: ImportId(id), ..self.request.clone() };
        Importer::new(self.parts.clone()).run(request, body, |_| ()).await
    }

    /// The contacts an import brought, by address.
    pub(super) async fn listed(&self, id: u64) -> Vec<Contact> {
        self.store.contacts.page(TENANT, Some(ImportId(id)), None, 1_000_000).await.unwrap()
    }

    /// The import's record.
    pub(super) async fn record(&self, id: u64) -> Import {
        self.store.nouns.get::<Import>(TENANT, id).await.unwrap().expect("there is a record").noun
    }

    /// The opt-outs that were recorded, in order.
    pub(super) fn opt_outs(&self) -> Vec<Address> {
        self.opt_outs.lock().clone()
    }

    /// How often it was waited for them.
    pub(super) fn settled(&self) -> usize {
        self.settled.load(Ordering::SeqCst)
    }
}

/// A body in pieces of these sizes, over and over.
pub(super) fn pieces(
    file: &[u8],
    sizes: &[usize],
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Unpin + use<> {
    let (mut file, mut sizes) = (Bytes::copy_from_slice(file), Vec::from(sizes).into_iter().cycle());
    let piece = move || {
        let size = sizes.next().unwrap_or(usize::MAX).min(file.len());
        (size > 0).then(|| Ok(file.split_to(size)))
    };
    stream::iter(std::iter::from_fn(piece))
}
