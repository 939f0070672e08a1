-- What finds the sessions whose record may go.
CREATE INDEX session_by_end ON session (stopped_at) WHERE stopped_at IS NOT NULL;
