//! Statements of the views. A write begins with the columns of its partition key and ends with its timestamp.

statements! {
    /// The views' reads.
    ViewReads {
        marks: Read = "SELECT shard, position, last_id FROM shard_mark WHERE everything = 0";
        known: Read = "SELECT shard, last_id FROM shard_mark WHERE everything = 0 AND shard IN ?";
        floor: Read = "SELECT outbox_floor FROM shard_mark WHERE everything = 0 AND shard = ?";
        message: Read = "SELECT state, content FROM message WHERE shard = ? AND slot = ? AND id = ?";
        messages: Read = "SELECT id, state, content FROM message WHERE shard = ? AND slot = ? AND id IN ?";
        history: Read = "SELECT number, message FROM history \
             WHERE conversation = ? AND bucket = ? AND number <= ? LIMIT ?";
        conversation: Read = "SELECT state FROM conversation WHERE id = ?";
        conversations: Read = "SELECT id FROM conversation_list \
             WHERE tenant = ? AND session = ? AND slice = ? AND id > ? LIMIT ?";
        address: Read = "SELECT tenant, conversation, upto FROM address WHERE session = ? AND address = ?";
        seen: Read = "SELECT message, at, upto FROM seen WHERE session = ? AND hash = ?";
        idempotency: Read = "SELECT state FROM idempotency WHERE session = ? AND key = ?";
        outbox: Read = "SELECT lane, message, line FROM outbox \
             WHERE shard = ? AND minute = ? AND (lane, message) > (?, ?) LIMIT ?";
        outbox_minutes: Read = "SELECT minute FROM outbox_minute WHERE shard = ? AND minute >= ?";
        campaign: Read = "SELECT state FROM campaign WHERE id = ?";
        campaigns_live: Read = "SELECT id, live FROM campaign_live WHERE shard = ?";
        part: Read = "SELECT state FROM part WHERE campaign = ? AND part = ?";
        parts_of_session: Read = "SELECT launched, campaign, part FROM part_of_session \
             WHERE session = ? LIMIT ?";
        parts_open: Read = "SELECT campaign, part, open FROM part_open WHERE shard = ?";
        marks_of_part: Read = "SELECT chunk, tenant, shard, bytes, upto FROM marks \
             WHERE campaign = ? AND part = ?";
        marks_of_chunk: Read = "SELECT chunk, tenant, shard, bytes, upto FROM marks \
             WHERE campaign = ? AND part = ? AND chunk = ?";
        run: Read = "SELECT base, tenant, count, campaign, part, chunk, upto FROM run \
             WHERE shard = ? AND bucket = ? AND base <= ? LIMIT 1";
        consent: Read = "SELECT address, shard, wish, at, source, upto FROM suppressed \
             WHERE tenant = ? AND slice = ? AND address = ?";
        consents: Read = "SELECT address, shard, wish, at, source, upto FROM suppressed \
             WHERE tenant = ? AND slice = ? AND (address, shard) > (?, ?) LIMIT ?";
        heard_hours: Read = "SELECT hour FROM suppressed_hour WHERE tenant = ? AND hour >= ?";
        heard: Read = "SELECT address, shard, wish, at, source, upto FROM suppressed_at \
             WHERE tenant = ? AND hour = ? AND minute >= ?";
        discovered: Read = "SELECT address, state FROM discovered \
             WHERE tenant = ? AND slice = ? AND address > ? LIMIT ?";
    }
}

statements! {
    /// The views' writes.
    ViewWrites {
        mark: Write = "INSERT INTO shard_mark (everything, shard, position, last_id, outbox_floor) \
             VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        message: Write = "INSERT INTO message (shard, slot, id, state) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        message_whole: Write = "INSERT INTO message (shard, slot, id, state, content) \
             VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        history: Write = "INSERT INTO history (conversation, bucket, number, message) \
             VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        conversation: Write = "INSERT INTO conversation (id, state) VALUES (?, ?) USING TIMESTAMP ?";
        conversation_list: Write = "INSERT INTO conversation_list (tenant, session, slice, id) \
             VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        address: Write = "INSERT INTO address (session, address, tenant, conversation, upto) \
             VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        seen: Write = "INSERT INTO seen (session, hash, message, at, upto) \
             VALUES (?, ?, ?, ?, ?) USING TTL ? AND TIMESTAMP ?";
        idempotency: Write = "INSERT INTO idempotency (session, key, state) \
             VALUES (?, ?, ?) USING TTL ? AND TIMESTAMP ?";
        outbox_open: Write = "INSERT INTO outbox (shard, minute, lane, message, line) \
             VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
        outbox_gone: Write = "INSERT INTO outbox (shard, minute, lane, message, line) \
             VALUES (?, ?, ?, ?, ?) USING TTL 172800 AND TIMESTAMP ?";
        outbox_minute: Write = "INSERT INTO outbox_minute (shard, minute) \
             VALUES (?, ?) USING TTL 34560000 AND TIMESTAMP ?";
        campaign: Write = "INSERT INTO campaign (id, state) VALUES (?, ?) USING TIMESTAMP ?";
        campaign_live: Write = "INSERT INTO campaign_live (shard, id, live) VALUES (?, ?, ?) USING TIMESTAMP ?";
        campaign_over: Write = "INSERT INTO campaign_live (shard, id, live) \
             VALUES (?, ?, ?) USING TTL 604800 AND TIMESTAMP ?";
        part: Write = "INSERT INTO part (campaign, part, state) VALUES (?, ?, ?) USING TIMESTAMP ?";
        part_of_session: Write = "INSERT INTO part_of_session (session, launched, campaign, part) \
             VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        part_open: Write = "INSERT INTO part_open (shard, campaign, part, open) \
             VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
        part_over: Write = "INSERT INTO part_open (shard, campaign, part, open) \
             VALUES (?, ?, ?, ?) USING TTL 604800 AND TIMESTAMP ?";
        marks: Write = "INSERT INTO marks (campaign, part, chunk, tenant, shard, bytes, upto) \
             VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        run: Write = "INSERT INTO run (shard, bucket, base, tenant, count, campaign, part, chunk, upto) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        suppressed: Write = "INSERT INTO suppressed (tenant, slice, address, shard, wish, at, source, upto) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        suppressed_at: Write = "INSERT INTO suppressed_at \
             (tenant, hour, minute, address, shard, wish, at, source, upto) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
        suppressed_hour: Write = "INSERT INTO suppressed_hour (tenant, hour) VALUES (?, ?) USING TIMESTAMP ?";
        discovered: Write = "INSERT INTO discovered (tenant, slice, address, state) \
             VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    }
}
