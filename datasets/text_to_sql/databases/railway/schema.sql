CREATE TABLE station (code TEXT, name TEXT, platforms INT, lift INT, opened INT);
CREATE TABLE train (number INT, operator TEXT, coaches INT, bikes INT);
CREATE TABLE stop (train INT, station TEXT, due TIME, actual TIME, platform INT);
