//! Statements of the journal. `frame` and `owner_epoch` are written by LWT alone; what is let go of is deleted row
//! by row, never with its partition: the fence of a bucket stays, so that an owner that slept for weeks is refused.

statements! {
    /// The journal's statements.
    Journal {
        append: Lwt = "UPDATE journal SET frame = ?, owner_epoch = ? WHERE shard = ? AND bucket = ? AND seq = ? \
            IF owner_epoch = ? AND frame = null";
        raise: Lwt = "UPDATE journal SET owner_epoch = ? WHERE shard = ? AND bucket = ? IF owner_epoch = ?";
        owner: Serial = "SELECT owner_epoch FROM journal WHERE shard = ? AND bucket = ? LIMIT 1";
        newest: Serial = "SELECT seq, frame FROM journal WHERE shard = ? AND bucket = ? AND seq >= 0 \
            ORDER BY seq DESC LIMIT 1";
        at: Serial = "SELECT owner_epoch, frame FROM journal WHERE shard = ? AND bucket = ? AND seq = ?";
        from: Read = "SELECT seq, frame FROM journal WHERE shard = ? AND bucket = ? AND seq >= ? LIMIT ?";
        before: Read = "SELECT seq, frame FROM journal WHERE shard = ? AND bucket = ? AND seq <= ? \
            ORDER BY seq DESC LIMIT 1";
        floors: Read = "SELECT shard, bucket, position FROM journal_floor WHERE everything = 0";
        floor: Write = "INSERT INTO journal_floor (everything, shard, bucket, position) VALUES (0, ?, ?, ?) \
            USING TIMESTAMP ?";
        retire: Write = "DELETE FROM journal WHERE shard = ? AND bucket = ? AND seq >= 0";
        position: Read = "SELECT position FROM shard_mark WHERE everything = 0 AND shard = ?";
    }
}
