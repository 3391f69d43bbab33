CREATE TABLE book (id INT, title TEXT, author TEXT, genre TEXT, year INT, copies INT);
CREATE TABLE member (id INT, name TEXT, town TEXT, joined DATE);
CREATE TABLE loan (book_id INT, member_id INT, taken DATE, returned DATE);
