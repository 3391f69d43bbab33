CREATE TABLE artist (id INT, name TEXT, born INT, died INT, country TEXT);
CREATE TABLE work (id INT, title TEXT, artist_id INT, year INT, medium TEXT, room INT, value INT);
CREATE TABLE lending (work_id INT, borrower TEXT, out DATE, back DATE);
