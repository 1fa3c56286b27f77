-- A lease per shard. The one epoch that stood for all of them is the floor of each: the journal of this folder knows it,
-- and an epoch never falls.
ALTER TABLE lease RENAME TO lease_of_all;

CREATE TABLE lease (
  shard INTEGER PRIMARY KEY CHECK (shard BETWEEN 0 AND 255),
  owner TEXT,
  epoch INTEGER NOT NULL,
  ctr   INTEGER NOT NULL
) STRICT;

INSERT INTO lease (shard, owner, epoch, ctr)
WITH RECURSIVE every(shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM every WHERE shard < 255)
SELECT every.shard, NULL, lease_of_all.epoch, 0 FROM every, lease_of_all;

DROP TABLE lease_of_all;
