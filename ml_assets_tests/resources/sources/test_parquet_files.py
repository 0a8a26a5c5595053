"""What is particular to Parquet: its damage, its statistics."""

from ml_assets.core.errors import SourceUnreadable


def test_a_damaged_page_in_the_middle_of_parquet(tmp_path, trips, save, source, fetch, refused):
    """With page checksums, as we write them, every damage is noticed."""
    path = tmp_path / "2019-03.parquet"
    save(trips(5000), path)
    fetch(source(tmp_path), tmp_path)
    whole = (tmp_path / "scratch/out.parquet").read_bytes()
    (tmp_path / "scratch/out.parquet").unlink()
    for place in range(1000, len(whole) // 2, len(whole) // 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        refused(SourceUnreadable, source(tmp_path), tmp_path, "damaged page")
