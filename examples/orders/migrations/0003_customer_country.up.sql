-- sealift: author=c@example.com
-- The country decides the tax rate; `DE` is right for every customer so far.

ALTER TABLE customer ADD COLUMN country TEXT NOT NULL DEFAULT 'DE';

UPDATE customer SET country = 'AT' WHERE email LIKE '%.at';
