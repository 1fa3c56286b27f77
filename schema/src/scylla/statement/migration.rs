//! Statements of the migrations: which version the keyspace has, and who is changing it.

statements! {
    /// The migrations' statements.
    Migration {
        version: Serial = "SELECT version FROM schema_version WHERE everything = 0 ORDER BY version DESC LIMIT 1";
        reached: Write = "INSERT INTO schema_version (everything, version, name) VALUES (0, ?, ?)";
        lock: Lwt = "INSERT INTO schema_lock (everything, owner) VALUES (0, ?) IF NOT EXISTS USING TTL 120";
        owner: Serial = "SELECT owner FROM schema_lock WHERE everything = 0";
        unlock: Lwt = "DELETE FROM schema_lock WHERE everything = 0 IF owner = ?";
    }
}
