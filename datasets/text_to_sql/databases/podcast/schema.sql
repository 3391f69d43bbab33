CREATE TABLE series (id INT, title TEXT, host TEXT, language TEXT, started INT);
CREATE TABLE episode (id INT, series_id INT, title TEXT, aired DATE, seconds INT, guest TEXT);
CREATE TABLE plays (episode_id INT, country TEXT, listens INT);
