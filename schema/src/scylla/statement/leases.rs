//! Statements of the leases. A taking compares the whole row: `owner = null` alone is true of a row that is missing.

statements! {
    /// The leases' statements.
    Leases {
        begin: Lwt = "INSERT INTO lease (shard, owner, epoch, ctr) VALUES (?, null, 0, 0) IF NOT EXISTS";
        row: Serial = "SELECT owner, epoch, ctr FROM lease WHERE shard = ?";
        take: Lwt = "UPDATE lease SET owner = ?, epoch = ?, ctr = 0 WHERE shard = ? IF owner = ? AND epoch = ? AND ctr = ?";
        renew: Lwt = "UPDATE lease SET ctr = ? WHERE shard = ? IF owner = ? AND epoch = ? AND ctr = ?";
        release: Lwt = "UPDATE lease SET owner = null WHERE shard = ? IF owner = ? AND epoch = ?";
    }
}
