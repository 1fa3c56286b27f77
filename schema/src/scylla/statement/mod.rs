//! Every statement Kabar sends to a cluster, one file a seam, prepared once when the store is opened. A test reads
//! all of them and refuses what the two servers do not share or what does not scale.

/// How a statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A read of views or records: paged, may be repeated.
    Read,
    /// A read that sees every finished LWT: at LocalSerial.
    Serial,
    /// A plain upsert that may be repeated: the same values under the same timestamp, or values that never change.
    Write,
    /// A conditional write: tried once, its outcome may be unknown.
    Lwt,
}

/// A seam's statements: name, how it is run, the text.
#[cfg(test)]
pub(crate) type Texts = &'static [(&'static str, Kind, &'static str)];

/// Declares a seam's statements as a struct of prepared ones.
macro_rules! statements {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ident = $text:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name {
            $(pub(crate) $field: scylla::statement::prepared::PreparedStatement,)+
        }

        impl $name {
            #[cfg(test)]
            pub(crate) const TEXTS: super::Texts =
                &[$((stringify!($field), super::Kind::$kind, $text),)+];

            /// Prepares all of them.
            pub(crate) async fn prepare(
                cluster: &crate::scylla::cluster::Cluster,
            ) -> Result<Self, crate::error::OpenError> {
                Ok(Self { $($field: cluster.prepare(super::Kind::$kind, $text).await?,)+ })
            }
        }
    };
}

mod blobs;
mod contacts;
mod journal;
mod leases;
mod ledger;
mod migration;
mod records;
mod views;

pub(crate) use blobs::BlobsSql;
pub(crate) use contacts::ContactsSql;
pub(crate) use journal::Journal;
pub(crate) use leases::Leases;
pub(crate) use ledger::LedgerSql;
pub(crate) use migration::Migration;
pub(crate) use records::RecordsSql;
pub(crate) use views::{ViewReads, ViewWrites};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scylla::migrate;

    /// Every seam's statements.
    fn all() -> Vec<(&'static str, Kind, &'static str)> {
        [
            Migration::TEXTS,
            Journal::TEXTS,
            ViewReads::TEXTS,
            ViewWrites::TEXTS,
            RecordsSql::TEXTS,
            ContactsSql::TEXTS,
            LedgerSql::TEXTS,
            BlobsSql::TEXTS,
            Leases::TEXTS,
        ]
        .concat()
    }

    #[test]
    fn no_statement_asks_for_what_does_not_scale_or_what_only_one_server_has() {
        let definitions = migrate::STEPS.iter().flat_map(|(_, step)| migrate::statements(step));
        let texts: Vec<String> = definitions.chain(all().into_iter().map(|(_, _, t)| t.to_owned())).collect();
        assert!(texts.len() > 30, "{}", texts.len());
        for text in &texts {
            let upper = text.to_uppercase();
            for never in [
                "ALLOW FILTERING",
                "CREATE INDEX",
                "CUSTOM INDEX",
                "MATERIALIZED",
                " COUNTER",
                "BYPASS CACHE",
                "USING TIMEOUT",
                "PRUNE",
                "PER PARTITION LIMIT",
                " CONTAINS",
                "SELECT *",
            ] {
                assert!(!upper.contains(never), "{never}: {text}");
            }
        }
    }

    #[test]
    fn nothing_is_a_queue_by_delete() {
        for (name, _, text) in all() {
            let deletes = text.starts_with("DELETE");
            let allowed = ["unlock", "delete", "retire", "delete_list", "delete_name", "delete_piece"];
            assert!(!deletes || allowed.contains(&name), "{name}: {text}");
        }
    }

    #[test]
    fn a_views_row_is_never_written_without_its_timestamp_nor_over_a_condition() {
        for (name, kind, text) in ViewWrites::TEXTS {
            assert_eq!(*kind, Kind::Write, "{name}");
            assert!(text.starts_with("INSERT INTO ") && text.ends_with("TIMESTAMP ?"), "{name}: {text}");
        }
    }

    #[test]
    fn what_is_conditional_is_tried_once_and_nothing_else_is_conditional() {
        for (name, kind, text) in all() {
            assert_eq!(kind == Kind::Lwt, text.contains(" IF "), "{name}: {text}");
            assert_eq!(
                matches!(kind, Kind::Read | Kind::Serial),
                text.starts_with("SELECT"),
                "{name}: {text}"
            );
        }
    }
}
