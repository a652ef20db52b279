-- Answers to requests that may be sent again.
CREATE TABLE idempotency (
  key TEXT PRIMARY KEY NOT NULL,
  body_sha256 TEXT NOT NULL,
  run_id TEXT NOT NULL,
  -- The first answer, once it was given.
  answer_json TEXT,
  created_at TEXT NOT NULL
) STRICT;
