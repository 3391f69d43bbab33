CREATE TABLE hive (id INT, nickname TEXT, place TEXT, boxes INT, queen_year INT, alive INT);
CREATE TABLE inspection (hive_id INT, day DATE, mites INT, brood_frames INT, mood TEXT);
CREATE TABLE honey (hive_id INT, day DATE, kg REAL, flower TEXT);
