//! Statements of the records: the row, and the three tables that tell where to look for rows.

statements! {
    /// The records' statements.
    RecordsSql {
        get: Read = "SELECT version, created, indexes, body, written FROM record WHERE kind = ? AND tenant = ? AND id = ?";
        look: Serial = "SELECT version, created, indexes, body, written FROM record WHERE kind = ? AND tenant = ? AND id = ?";
        put: Lwt = "UPDATE record SET version = ?, created = ?, indexes = ?, body = ?, written = ? WHERE kind = ? AND tenant = ? AND id = ? IF version = ?";
        delete: Lwt = "DELETE FROM record WHERE kind = ? AND tenant = ? AND id = ? IF version = ?";
        hint_page: Write = "INSERT INTO record_page (kind, tenant, name, value, created, id) VALUES (?, ?, ?, ?, ?, ?)";
        hint_find: Write = "INSERT INTO record_find (kind, name, value, tenant, created, id) VALUES (?, ?, ?, ?, ?, ?)";
        hint_all: Write = "INSERT INTO record_all (kind, tenant, id) VALUES (?, ?, ?)";
        page: Read = "SELECT created, id FROM record_page WHERE kind = ? AND tenant = ? AND name = ? AND value = ? AND (created, id) > (?, ?) LIMIT ?";
        find: Read = "SELECT tenant, created, id FROM record_find WHERE kind = ? AND name = ? AND value = ? AND (tenant, created, id) > (?, ?, ?) LIMIT ?";
        all: Read = "SELECT tenant, id FROM record_all WHERE kind = ? AND (tenant, id) > (?, ?) LIMIT ?";
    }
}
