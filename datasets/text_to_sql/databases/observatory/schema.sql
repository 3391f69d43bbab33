CREATE TABLE telescope (code TEXT, mirror_m REAL, site TEXT, working INT);
CREATE TABLE target (name TEXT, kind TEXT, magnitude REAL, distance_ly REAL);
CREATE TABLE observation (telescope TEXT, target TEXT, night DATE, minutes INT, seeing REAL, observer TEXT);
