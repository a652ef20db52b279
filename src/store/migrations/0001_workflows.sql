-- Prompt templates with their Definition of Done.
CREATE TABLE workflows (
  name TEXT PRIMARY KEY NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  prompt_template TEXT NOT NULL,
  dod_schema_json TEXT NOT NULL DEFAULT '{"items":[]}',
  settings_json TEXT NOT NULL DEFAULT '{}',
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
) STRICT;
