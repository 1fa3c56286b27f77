//! Statements of the ledger: everything is written once.

statements! {
    /// The ledger's statements.
    LedgerSql {
        put_chunk: Lwt = "INSERT INTO ledger_chunk (tenant, campaign, attempt, part, chunk, addresses, variables) VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";
        get_chunk: Read = "SELECT addresses, variables FROM ledger_chunk WHERE tenant = ? AND campaign = ? AND attempt = ? AND part = ? AND chunk = ?";
        look_chunk: Serial = "SELECT addresses, variables FROM ledger_chunk WHERE tenant = ? AND campaign = ? AND attempt = ? AND part = ? AND chunk = ?";
        put_part: Lwt = "INSERT INTO ledger_part (tenant, campaign, attempt, part, session, chunks) VALUES (?, ?, ?, ?, ?, ?) IF NOT EXISTS";
        get_part: Read = "SELECT session, chunks FROM ledger_part WHERE tenant = ? AND campaign = ? AND attempt = ? AND part = ?";
        look_part: Serial = "SELECT session, chunks FROM ledger_part WHERE tenant = ? AND campaign = ? AND attempt = ? AND part = ?";
    }
}
