CREATE TABLE ticket (id INT, opened DATE, closed DATE, topic TEXT, priority INT, agent_id INT, customer TEXT);
CREATE TABLE agent (id INT, name TEXT, team TEXT, level INT);
CREATE TABLE reply (ticket_id INT, sent DATETIME, words INT, internal INT);
