-- Views: what the journal's entries came to. Integer keys wherever possible, no index that is written at a
-- random place per message: every message is an append to two tables by its id.

CREATE TABLE shard_mark (
  shard    INTEGER PRIMARY KEY,
  position INTEGER NOT NULL,
  last_id  INTEGER NOT NULL
) STRICT;

-- What never changes of a message, written once; its content is sealed.
CREATE TABLE message (
  id             INTEGER PRIMARY KEY,
  tenant         INTEGER NOT NULL,
  session        INTEGER NOT NULL,
  conversation   INTEGER NOT NULL,
  address        TEXT    NOT NULL,
  lane           INTEGER NOT NULL,
  accepted       INTEGER NOT NULL,
  valid_until    INTEGER NOT NULL,
  context        TEXT,
  campaign       INTEGER,
  campaign_index INTEGER,
  prev           INTEGER,
  content        BLOB
) STRICT;

-- What changes: apart, so that a late status does not rewrite the content.
CREATE TABLE message_state (
  id          INTEGER PRIMARY KEY,
  status      INTEGER NOT NULL,
  stage       INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  due         INTEGER NOT NULL,
  claimed     INTEGER,
  parked      INTEGER,
  sent        INTEGER,
  delivered   INTEGER,
  read        INTEGER,
  ended       INTEGER,
  provider_id TEXT,
  cause       INTEGER,
  upto        INTEGER NOT NULL
) STRICT;

CREATE TABLE conversation (
  id           INTEGER PRIMARY KEY,
  tenant       INTEGER NOT NULL,
  session      INTEGER NOT NULL,
  address      TEXT    NOT NULL,
  aliases      TEXT,              -- address keys, one a line
  name         BLOB,              -- sealed
  last         INTEGER,
  count        INTEGER NOT NULL,
  unread       INTEGER NOT NULL,
  window_until INTEGER,
  upto         INTEGER NOT NULL
) STRICT;
-- Ids grow with time, so these grow at one end per tenant and session; an update of the row leaves them alone.
CREATE INDEX conversation_tenant  ON conversation (tenant);
CREATE INDEX conversation_session ON conversation (session);

CREATE TABLE address (
  session      INTEGER NOT NULL,
  address      TEXT    NOT NULL,
  tenant       INTEGER NOT NULL,
  conversation INTEGER NOT NULL,
  upto         INTEGER NOT NULL,
  PRIMARY KEY (session, address)
) STRICT, WITHOUT ROWID;

-- Only what is open at a flush.
CREATE TABLE outbox (
  shard       INTEGER NOT NULL,
  minute      INTEGER NOT NULL,
  lane        INTEGER NOT NULL,
  message     INTEGER NOT NULL,
  tenant      INTEGER NOT NULL,
  session     INTEGER NOT NULL,
  stage       INTEGER NOT NULL,
  valid_until INTEGER NOT NULL,
  PRIMARY KEY (shard, minute, lane, message)
) STRICT, WITHOUT ROWID;

-- Tables that are dropped whole: seen_<number>, idempotency_<hour>.
CREATE TABLE generation (
  kind   TEXT    NOT NULL,
  number INTEGER NOT NULL,
  rows   INTEGER NOT NULL,
  begun  INTEGER NOT NULL,
  newest INTEGER NOT NULL,
  PRIMARY KEY (kind, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE campaign (
  id       INTEGER PRIMARY KEY,
  shard    INTEGER NOT NULL,
  tenant   INTEGER NOT NULL,
  phase    INTEGER NOT NULL,
  paused   INTEGER NOT NULL,
  launched INTEGER NOT NULL,
  ended    INTEGER,
  command  INTEGER NOT NULL,
  verb     INTEGER NOT NULL,
  obeyed   BLOB    NOT NULL,
  frozen   BLOB,
  live     INTEGER NOT NULL,
  upto     INTEGER NOT NULL
) STRICT;
CREATE INDEX campaign_live ON campaign (shard) WHERE live = 1;

CREATE TABLE part (
  campaign INTEGER NOT NULL,
  part     INTEGER NOT NULL,
  shard    INTEGER NOT NULL,
  tenant   INTEGER NOT NULL,
  session  INTEGER NOT NULL,
  launched INTEGER NOT NULL,
  phase    INTEGER NOT NULL,
  command  INTEGER NOT NULL,
  finished INTEGER NOT NULL,
  start    BLOB    NOT NULL,
  upto     INTEGER NOT NULL,
  PRIMARY KEY (campaign, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX part_session ON part (session, launched);
CREATE INDEX part_open    ON part (shard) WHERE finished = 0;

-- 512 recipients a row. A rowid table: rows of 3.6 KB do not fit a clustered key's page.
CREATE TABLE marks (
  n        INTEGER PRIMARY KEY,
  campaign INTEGER NOT NULL,
  chunk    INTEGER NOT NULL,
  tenant   INTEGER NOT NULL,
  shard    INTEGER NOT NULL,
  bytes    BLOB    NOT NULL,
  upto     INTEGER NOT NULL,
  UNIQUE (campaign, chunk)
) STRICT;

CREATE TABLE run (
  shard    INTEGER NOT NULL,
  base     INTEGER NOT NULL,
  tenant   INTEGER NOT NULL,
  count    INTEGER NOT NULL,
  campaign INTEGER NOT NULL,
  part     INTEGER NOT NULL,
  chunk    INTEGER NOT NULL,
  upto     INTEGER NOT NULL,
  PRIMARY KEY (shard, base)
) STRICT, WITHOUT ROWID;

CREATE TABLE suppressed (
  tenant  INTEGER NOT NULL,
  address TEXT    NOT NULL,
  shard   INTEGER NOT NULL,
  wish    INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  minute  INTEGER NOT NULL,
  source  INTEGER NOT NULL,
  upto    INTEGER NOT NULL,
  PRIMARY KEY (tenant, address, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressed_minute ON suppressed (tenant, minute);

CREATE TABLE discovered (
  tenant  INTEGER NOT NULL,
  address TEXT    NOT NULL,
  name    BLOB,                   -- sealed
  session INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  upto    INTEGER NOT NULL,
  PRIMARY KEY (tenant, address)
) STRICT, WITHOUT ROWID;
