CREATE TABLE act (id INT, name TEXT, country TEXT, genre TEXT, fee INT);
CREATE TABLE stage (id INT, name TEXT, capacity INT, covered INT);
CREATE TABLE slot (act_id INT, stage_id INT, day TEXT, starts TIME, minutes INT);
