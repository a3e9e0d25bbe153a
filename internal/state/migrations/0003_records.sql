-- Records of rooms that keep nouns of their own: keys of the key service, their
-- aliases, identities. body is the room's JSON; secrets in it are sealed before
-- they come here. Names are case-sensitive.
CREATE TABLE records (
    kind   TEXT NOT NULL,
    region TEXT NOT NULL,
    name   TEXT NOT NULL,
    parent TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (kind, region, name)
) WITHOUT ROWID;

CREATE INDEX records_by_parent ON records (kind, region, parent, name);
