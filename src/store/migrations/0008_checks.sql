-- Checks that the service runs, and who may accept what.
ALTER TABLE runs ADD COLUMN dod_digest TEXT;
ALTER TABLE dod_items ADD COLUMN check_json TEXT;
ALTER TABLE dod_items ADD COLUMN when_json TEXT;
ALTER TABLE dod_evidence ADD COLUMN author_name TEXT;
ALTER TABLE dod_evidence ADD COLUMN onto TEXT;
ALTER TABLE dod_evidence ADD COLUMN candidate_of TEXT;
ALTER TABLE dod_evidence ADD COLUMN check_json TEXT;
ALTER TABLE dod_evidence ADD COLUMN check_key TEXT;
ALTER TABLE dod_evidence ADD COLUMN overrides TEXT;
CREATE INDEX dod_evidence_by_check ON dod_evidence (check_key) WHERE check_key IS NOT NULL;

-- Nobody accepts what they brought, and an item of a check's is accepted by the check or by an operator with a reason.
CREATE TRIGGER dod_evidence_by_another
BEFORE UPDATE OF validated_by ON dod_evidence
WHEN NEW.validated_by IS NOT NULL
BEGIN
  SELECT RAISE (ABORT, 'evidence is not validated by its author')
  WHERE lower(NEW.validated_by) IN ('agent', 'service')
     OR lower(NEW.validated_by) = lower(coalesce(NEW.author_name, ''))
     OR (NEW.validated_by = 'check' AND NEW.author <> 'check')
     OR (NEW.validated_by <> 'check' AND NEW.overrides IS NULL
         AND (SELECT validator FROM dod_items WHERE id = NEW.item_id) = 'check');
END;

-- What the honesty figures are counted from.
ALTER TABLE runs ADD COLUMN rounds INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN feedback INTEGER NOT NULL DEFAULT 0;
-- When it was accepted first, also if it was turned down since.
ALTER TABLE dod_evidence ADD COLUMN first_validated_at TEXT;
-- Whether a required check failed on work that the agent had just called finished.
ALTER TABLE dod_evidence ADD COLUMN against_claim INTEGER NOT NULL DEFAULT 0;
UPDATE dod_evidence SET first_validated_at = (
  SELECT min(at) FROM events
  WHERE events.run_id = dod_evidence.run_id AND name = 'evidence_validated'
    AND CASE WHEN json_valid(body) THEN json_extract(body, '$.evidence') END = dod_evidence.id
);
-- Payloads are in the rows; the figures are counted without reading them.
CREATE INDEX dod_evidence_figures ON dod_evidence
  (run_id, item_id, first_validated_at, tree, rejected_at, overrides, against_claim, "commit", candidate_of);
