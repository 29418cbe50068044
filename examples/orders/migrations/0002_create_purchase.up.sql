-- sealift: author=c@example.com
-- What customers buy. Amounts are cents, so that nothing is ever rounded.

CREATE TABLE purchase (
    id INTEGER PRIMARY KEY,
    customer_id INTEGER NOT NULL REFERENCES customer (id),
    cents INTEGER NOT NULL CHECK (cents > 0),
    bought_at TEXT NOT NULL
);

CREATE INDEX purchase_customer ON purchase (customer_id, bought_at);
