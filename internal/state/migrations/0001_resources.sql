-- Every resource of every kind. The columns beside body are those by which lists
-- filter and sort, and those that change apart from it.
CREATE TABLE resources (
    id          INTEGER PRIMARY KEY,
    region      TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    name_folded TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    rev         BIGINT NOT NULL,
    created_ns  BIGINT NOT NULL,
    modified_ns BIGINT NOT NULL,
    status      TEXT   NOT NULL,
    tags        TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    UNIQUE (region, kind, name_folded)
);

-- One index for each order of a list. Each holds every column that a list can
-- filter by, so that a filter which few rows pass never reads the rows themselves.
CREATE INDEX resources_by_name     ON resources (region, kind, name, status, created_ns, modified_ns);
CREATE INDEX resources_by_created  ON resources (region, kind, created_ns, name, status, modified_ns);
CREATE INDEX resources_by_status   ON resources (region, kind, status, name, created_ns, modified_ns);
CREATE INDEX resources_by_modified ON resources (region, kind, modified_ns, name, status, created_ns);

-- What a server must take up again when it starts. The statuses are those of
-- the query in transformjob.go.
CREATE INDEX resources_active ON resources (kind, region, name_folded)
    WHERE status IN ('InProgress', 'Stopping');

-- The input objects of transform jobs.
CREATE TABLE transform_objects (
    job         BIGINT NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
    seq         BIGINT NOT NULL,
    object_key  TEXT   NOT NULL,
    rel         TEXT   NOT NULL,
    size        BIGINT NOT NULL,
    etag        TEXT   NOT NULL,
    modified_ns BIGINT NOT NULL,
    state       TEXT   NOT NULL,
    class       TEXT   NOT NULL,
    detail      TEXT   NOT NULL,
    records     BIGINT NOT NULL,
    requests    BIGINT NOT NULL,
    retries     BIGINT NOT NULL,
    bytes_in    BIGINT NOT NULL,
    bytes_out   BIGINT NOT NULL,
    PRIMARY KEY (job, seq)
) WITHOUT ROWID;

CREATE UNIQUE INDEX transform_objects_by_rel ON transform_objects (job, rel);
CREATE INDEX transform_objects_failed ON transform_objects (job, seq) WHERE state = 'failed';

-- Sums over transform_objects, kept up to date with every write, so that showing
-- the progress of a job does not read all its objects.
CREATE TABLE transform_totals (
    job       BIGINT NOT NULL REFERENCES resources (id) ON DELETE CASCADE,
    state     TEXT   NOT NULL,
    objects   BIGINT NOT NULL,
    size      BIGINT NOT NULL,
    records   BIGINT NOT NULL,
    requests  BIGINT NOT NULL,
    retries   BIGINT NOT NULL,
    bytes_in  BIGINT NOT NULL,
    bytes_out BIGINT NOT NULL,
    PRIMARY KEY (job, state)
) WITHOUT ROWID;

-- Random keys of the server itself.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
);
