CREATE TABLE singer (id INT, name TEXT, voice TEXT, since INT, dues_paid INT);
CREATE TABLE piece (id INT, title TEXT, composer TEXT, minutes REAL, language TEXT);
CREATE TABLE rehearsal (singer_id INT, piece_id INT, day DATE);
