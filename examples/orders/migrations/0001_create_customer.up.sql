-- sealift: author=c@example.com
-- Customers, one row each. The e-mail address is how they log in.

CREATE TABLE customer (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL
);
