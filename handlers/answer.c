#include "handlers/answer.h"

#include "api/execute.h"
#include "api/problem.h"

struct packed {
    uint32_t status, lane;
    uint64_t rows;
    uint32_t sizes[ANSWER_PARTS]; /* UINT32_MAX: none */
};

void answer_append(struct buffer *out, const struct answer *answer)
{
    struct packed packed = {.status = answer->status, .lane = answer->lane, .rows = answer->rows};
    for (size_t i = 0; i < ANSWER_PARTS; i++)
        packed.sizes[i] = answer->parts[i].data != NULL ? (uint32_t)answer->parts[i].size : UINT32_MAX;
    buffer_append(out, &packed, sizeof(packed));
    for (size_t i = 0; i < ANSWER_PARTS; i++)
        buffer_append_text(out, answer->parts[i]);
}

void answer_read(struct text payload, struct answer *answer)
{
    struct packed packed;
    const char *at = payload.data + sizeof(packed);
    memcpy(&packed, payload.data, sizeof(packed));
    *answer = (struct answer){.status = packed.status, .lane = packed.lane, .rows = packed.rows};
    for (size_t i = 0; i < ANSWER_PARTS; i++) {
        if (packed.sizes[i] == UINT32_MAX)
            continue;
        answer->parts[i] = text_of(at, packed.sizes[i]);
        at += packed.sizes[i];
    }
}

void answer_head(const struct answer *answer, struct respond_header headers[ANSWER_HEADERS], struct respond_head *head)
{
    *head = (struct respond_head){.status = (int)answer->status,
                                  .reason = answer->status == 206 ? "Partial Content" : "OK",
                                  .content_type = answer->parts[ANSWER_CONTENT_TYPE],
                                  .etag = answer->parts[ANSWER_ETAG],
                                  .link = answer->parts[ANSWER_LINK],
                                  .vary = true,
                                  .headers = headers};
    headers[head->header_count++] = (struct respond_header){TEXT("vary"), TEXT("Prefer, Range, Accept-Profile")};
    const struct respond_header more[] = {{TEXT("content-location"), answer->parts[ANSWER_LOCATION]},
                                          {TEXT("content-range"), answer->parts[ANSWER_RANGE]},
                                          {TEXT("preference-applied"), answer->parts[ANSWER_APPLIED]}};
    for (size_t i = 0; i < 3; i++)
        if (more[i].value.data != NULL)
            headers[head->header_count++] = more[i];
}

enum stage_verdict answer_finish(struct request *request, uint64_t rows)
{
    const struct buffer *body = respond_buffer(&request->respond);
    struct respond_head *head = &request->respond.head;
    if (body->failed)
        return problem_send_status(request, STATUS_TOO_LARGE);
    request->rows = rows;
    head->etag = execute_etag(&request->arena, buffer_text(body), 1);
    if (respond_not_modified(request, head->etag)) {
        struct respond_head unchanged = *head;
        respond_fail(request, TEXT_NONE); /* drops the body */
        return respond_send_not_modified(request, &unchanged);
    }
    respond_finish(request);
    return STAGE_DONE;
}
