-- Asynchronous invocations that have not ended. body is the JSON of the whole noun but
-- for the payload that came with the request; size is that of the payload.
CREATE TABLE async_invocations (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    region          TEXT   NOT NULL,
    endpoint_folded TEXT   NOT NULL,
    created_ns      BIGINT NOT NULL,
    size            BIGINT NOT NULL,
    body            TEXT   NOT NULL,
    payload         BLOB   NOT NULL
);

CREATE INDEX async_invocations_by_endpoint ON async_invocations (region, endpoint_folded, seq, created_ns, size);
