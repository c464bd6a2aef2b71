-- A small shop; enough of a schema to show inserts, updates, deletes, foreign keys and a table without a key.
CREATE SCHEMA shop;

CREATE TABLE shop.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    city text,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE shop.products (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    price numeric(10,2) NOT NULL,
    stock int NOT NULL DEFAULT 1000,
    attributes jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE shop.orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES shop.customers,
    status text NOT NULL DEFAULT 'new',
    placed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE shop.order_items (
    order_id bigint NOT NULL REFERENCES shop.orders ON DELETE CASCADE,
    line int NOT NULL,
    product_id int NOT NULL REFERENCES shop.products,
    quantity int NOT NULL,
    price numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line)
);

CREATE TABLE shop.page_views (
    at timestamptz NOT NULL DEFAULT now(),
    customer_id bigint,
    path text NOT NULL
);

INSERT INTO shop.customers (name, email, city)
SELECT 'Customer ' || i, 'customer' || i || '@example.com', (ARRAY['Lyon', 'Oslo', 'Porto', 'Ghent', 'Turin'])[1 + i % 5]
FROM generate_series(1, 2000) i;

INSERT INTO shop.products (name, price, attributes)
SELECT 'Product ' || i, (i % 90 + 10) + 0.99, jsonb_build_object('weight_g', i * 7 % 900, 'color', (ARRAY['red', 'blue', 'green'])[1 + i % 3])
FROM generate_series(1, 200) i;

INSERT INTO shop.orders (customer_id, status, placed_at)
SELECT 1 + i % 2000, 'shipped', now() - (i || ' minutes')::interval FROM generate_series(1, 5000) i;

INSERT INTO shop.order_items
SELECT o.id, l, 1 + (o.id * l) % 200, 1 + l, 9.99 FROM shop.orders o, generate_series(1, 2) l;
