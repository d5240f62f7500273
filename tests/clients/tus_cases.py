"""Uploads files with tuspy as it is published; prints what each came to. SLUICE_TUS: [{file, metadata, chunk}, …]."""
import json
import os

from tusclient import client
from tusclient.exceptions import TusCommunicationError


def upload(order):
    tus = client.TusClient(os.environ["SLUICE_BASE"] + "/v1/uploads/sessions", headers={"Authorization": "Bearer " + os.environ["SLUICE_TOKEN"]})
    one = tus.uploader(order["file"], metadata=order["metadata"], chunk_size=order["chunk"], retries=order.get("retries", 20), retry_delay=0.1,
                       upload_checksum=order.get("checksum", False))
    try:
        one.upload()
    except TusCommunicationError as error:
        return {"error": str(error), "status": error.status_code}
    return {"url": one.url, "result": one.request.response_headers.get("sluice-upload")}


print(json.dumps([upload(order) for order in json.loads(os.environ["SLUICE_TUS"])]))
