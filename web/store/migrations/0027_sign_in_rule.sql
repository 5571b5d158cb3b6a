-- Who has to have a second factor.

CREATE TABLE sign_in_rule (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    second_factor text NOT NULL CHECK (second_factor IN ('optional', 'administrators', 'everybody')),
    changed_by text,
    changed_at timestamptz
);
INSERT INTO sign_in_rule (second_factor) VALUES ('optional');
GRANT SELECT, UPDATE ON sign_in_rule TO app;
CREATE TRIGGER tell_access AFTER UPDATE ON sign_in_rule EXECUTE FUNCTION tell_access();

-- Began by single sign-on: a second factor is for the issuer to ask.
ALTER TABLE login_session ADD COLUMN is_by_issuer boolean NOT NULL DEFAULT false;
