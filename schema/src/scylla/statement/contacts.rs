//! Statements of the contacts: the row, the way from an id to it, and the members of lists.

statements! {
    /// The contacts' statements.
    ContactsSql {
        by_id: Read = "SELECT address FROM contact_id WHERE tenant = ? AND id = ?";
        get: Read = "SELECT address, id, round, version, zone, created, updated, private, lists FROM contact WHERE tenant = ? AND slice = ? AND address IN ?";
        look: Serial = "SELECT address, id, round, version, zone, created, updated, private, lists FROM contact WHERE tenant = ? AND slice = ? AND address IN ?";
        page: Read = "SELECT address, id, round, version, zone, created, updated, private, lists FROM contact WHERE tenant = ? AND slice = ? AND address > ? LIMIT ?";
        members: Read = "SELECT address FROM contact_list WHERE tenant = ? AND list = ? AND slice = ? AND address > ? LIMIT ?";
        count: Read = "SELECT COUNT(*) FROM contact WHERE tenant = ? AND slice = ?";
        count_members: Read = "SELECT COUNT(*) FROM contact_list WHERE tenant = ? AND list = ? AND slice = ?";
        put: Lwt = "UPDATE contact SET id = ?, round = ?, version = ?, zone = ?, created = ?, updated = ?, private = ?, lists = lists + ? WHERE tenant = ? AND slice = ? AND address = ? IF round = ?";
        delete: Lwt = "DELETE FROM contact WHERE tenant = ? AND slice = ? AND address = ? IF round = ?";
        name: Write = "INSERT INTO contact_id (tenant, id, address) VALUES (?, ?, ?) USING TIMESTAMP ?";
        delete_name: Write = "DELETE FROM contact_id USING TIMESTAMP ? WHERE tenant = ? AND id = ?";
        enlist: Write = "INSERT INTO contact_list (tenant, list, slice, address) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        delete_list: Write = "DELETE FROM contact_list USING TIMESTAMP ? WHERE tenant = ? AND list = ? AND slice = ? AND address = ?";
    }
}
