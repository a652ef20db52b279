-- Evidence for the items, bound to a commit and its tree.
CREATE TABLE dod_evidence (
  id TEXT PRIMARY KEY NOT NULL,
  run_id TEXT NOT NULL REFERENCES runs (id),
  item_id TEXT NOT NULL REFERENCES dod_items (id),
  kind TEXT NOT NULL CHECK (kind IN ('text', 'file', 'url')),
  payload_path TEXT,
  payload_url TEXT,
  payload_text TEXT,
  "commit" TEXT NOT NULL,
  tree TEXT NOT NULL,
  base_commit TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  author TEXT NOT NULL,
  created_at TEXT NOT NULL,
  validated_at TEXT,
  validated_by TEXT,
  rejected_at TEXT,
  rejected_by TEXT,
  reason TEXT
) STRICT;
CREATE INDEX dod_evidence_by_run ON dod_evidence (run_id);
CREATE INDEX dod_evidence_by_item ON dod_evidence (item_id);
CREATE INDEX dod_evidence_by_payload ON dod_evidence (sha256);
