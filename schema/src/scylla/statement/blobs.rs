//! Statements of the blobs: pieces first, the head that makes them readable last.

statements! {
    /// The blobs' statements.
    BlobsSql {
        head: Read = "SELECT stored, pieces, head FROM blob_head WHERE tenant = ? AND hash = ?";
        look: Serial = "SELECT stored, pieces, head FROM blob_head WHERE tenant = ? AND hash = ?";
        put: Lwt = "INSERT INTO blob_head (tenant, hash, stored, pieces, head) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS";
        delete: Lwt = "DELETE FROM blob_head WHERE tenant = ? AND hash = ? IF stored = ?";
        piece: Read = "SELECT bytes FROM blob_piece WHERE tenant = ? AND stored = ? AND piece = ?";
        put_piece: Write = "INSERT INTO blob_piece (tenant, stored, piece, bytes) VALUES (?, ?, ?, ?)";
        delete_piece: Write = "DELETE FROM blob_piece WHERE tenant = ? AND stored = ? AND piece = ?";
    }
}
