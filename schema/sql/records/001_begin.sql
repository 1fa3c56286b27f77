-- Records, contacts, the ledger of frozen audiences and the epoch. Every key begins with the tenant.

CREATE TABLE record (
  n       INTEGER PRIMARY KEY,
  kind    TEXT    NOT NULL,
  tenant  INTEGER NOT NULL,
  id      INTEGER NOT NULL,
  version INTEGER NOT NULL,
  created INTEGER NOT NULL,
  body    BLOB    NOT NULL,
  UNIQUE (kind, tenant, id)
) STRICT;
CREATE INDEX record_page ON record (kind, tenant, created, id);

CREATE TABLE record_index (
  kind    TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  value   TEXT    NOT NULL,
  tenant  INTEGER NOT NULL,
  created INTEGER NOT NULL,
  id      INTEGER NOT NULL,
  n       INTEGER NOT NULL,
  PRIMARY KEY (kind, name, value, tenant, created, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_index_of ON record_index (n);

-- Rows lie in the order they came; only small keys are written at random places. Numbers are never given
-- twice, so that a list cannot bring a deleted contact back.
CREATE TABLE contact (
  n       INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant  INTEGER NOT NULL,
  id      INTEGER NOT NULL,
  address TEXT    NOT NULL,
  zone    TEXT,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  version INTEGER NOT NULL,
  private BLOB    NOT NULL        -- sealed: input, name, fields
) STRICT;
CREATE UNIQUE INDEX contact_address ON contact (tenant, address);
CREATE UNIQUE INDEX contact_id      ON contact (id, tenant);

CREATE TABLE contact_list (
  tenant  INTEGER NOT NULL,
  list    INTEGER NOT NULL,
  address TEXT    NOT NULL,
  n       INTEGER NOT NULL,
  PRIMARY KEY (tenant, list, address)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_chunk (
  n         INTEGER PRIMARY KEY,
  tenant    INTEGER NOT NULL,
  campaign  INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  chunk     INTEGER NOT NULL,
  addresses BLOB    NOT NULL,     -- sorted, delta-coded
  variables BLOB    NOT NULL,     -- lz4, sealed
  UNIQUE (tenant, campaign, attempt, chunk)
) STRICT;

CREATE TABLE ledger_part (
  tenant   INTEGER NOT NULL,
  campaign INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  part     INTEGER NOT NULL,
  session  INTEGER NOT NULL,
  chunks   BLOB    NOT NULL,
  PRIMARY KEY (tenant, campaign, attempt, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO lease (one, epoch) VALUES (1, 0);
