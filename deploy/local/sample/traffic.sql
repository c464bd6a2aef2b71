\set customer random(1, 2000)
\set product random(1, 200)
\set other random(1, 200)
\set dice random(1, 100)
BEGIN;
INSERT INTO shop.page_views (customer_id, path) VALUES (:customer, '/products/' || :product);
WITH placed AS (INSERT INTO shop.orders (customer_id) VALUES (:customer) RETURNING id)
INSERT INTO shop.order_items SELECT id, 1, :product, 1, 19.99 FROM placed;
UPDATE shop.products SET stock = stock - 1 WHERE id = :product;
UPDATE shop.orders SET status = 'shipped' WHERE id = (SELECT id FROM shop.orders WHERE status = 'new' ORDER BY id LIMIT 1);
DELETE FROM shop.orders WHERE :dice > 90 AND id = (SELECT min(id) FROM shop.orders);
COMMIT;
