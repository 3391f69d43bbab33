CREATE TABLE tool (id INT, name TEXT, category TEXT, day_rate REAL, deposit REAL, bought DATE);
CREATE TABLE hire (tool_id INT, client TEXT, from_day DATE, days INT, back DATE);
CREATE TABLE damage (tool_id INT, noted DATE, cost REAL, client_pays INT);
