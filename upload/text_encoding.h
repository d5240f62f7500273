/* The character encoding of a file of text: told, or found out from its first bytes, and made UTF-8 as it streams by.
 * NUL characters and bytes that the encoding does not have are mistakes, never replaced. */
#ifndef SLUICE_UPLOAD_TEXT_ENCODING_H
#define SLUICE_UPLOAD_TEXT_ENCODING_H

#include "base/buffer.h"

enum text_encoding { ENCODING_UTF8, ENCODING_UTF16LE, ENCODING_UTF16BE, ENCODING_LATIN1 /* Windows-1252, as WHATWG */ };

const char *text_encoding_name(enum text_encoding encoding); /* "utf-8", "utf-16le", "windows-1252" */
/* "utf-8", "latin1", "iso-8859-1", "windows-1252", "utf-16", "utf-16le" … in any case. False: not known. */
bool text_encoding_named(struct text name, enum text_encoding *encoding) MUST_CHECK;
/* From the first bytes of a file (all of `head` is looked at; `whole`: the file has no more): a byte order mark; else
 * UTF-16 by where zero bytes stand; else UTF-8 if it is (a character cut at the end of the head counts as whole); else
 * Windows-1252. Where more is well-formed UTF-8 beyond ASCII than is not, it is UTF-8 with mistakes: text_decode then
 * names the line, where Windows-1252 would make rubbish of all the rest. *mark: bytes of the mark. */
enum text_encoding text_encoding_sniff(struct text head, bool whole, size_t *mark);

struct text_decoder { /* zero it, then set `encoding` */
    enum text_encoding encoding;
    unsigned char kept[4]; /* of a character that was cut by the end of the last piece */
    unsigned kept_size;
    uint64_t line;   /* of the next character, from 1 (0 counts as 1): the place of a mistake */
    uint64_t offset; /* bytes consumed */
    bool after_cr;   /* an LF that comes next ends no line: CRLF is one end */
};
/* Appends `bytes` as UTF-8 (no mark: that was taken off by text_encoding_sniff). `last`: nothing follows. What comes
 * out is at most three times as long, and whole characters. The caller looks at out->failed. STATUS_INVALID: a NUL, or
 * what is no character: failure names line and byte offset, and decoder->line is that line. */
enum status text_decode(struct text_decoder *decoder, struct text bytes, bool last, struct buffer *out,
                        struct failure *failure) MUST_CHECK;

#endif
